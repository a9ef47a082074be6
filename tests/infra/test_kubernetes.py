"""`k8s/` as rendered by kustomize matches schemas and policies, and every reference exists."""

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway import home
from slipway.predictions import feedback_store
from tests.infra import schemas
from tests.infra.conftest import Rendered, everywhere
from tests.infra.manifests import (
    Document,
    Pod,
    by_kind,
    container_variables,
    matches,
    named,
    pods,
    secret_keys,
)
from tests.infra.policies import shortcomings

# Pods that we do not deploy: the operator's Redis, and pods of callers.
OUTSIDE = [
    {"app.kubernetes.io/name": "redis"},
    {"slipway/calls": "predict"},
    {"slipway/calls": "kserve"},
]


SECRETS = {
    "slipway-keys": {"keys.json", "trusted-keys"},
    "slipway-signing": {"signing-key"},
    "slipway-callers": {"METRICS_KEY", "TRAIN_KEY", "REGISTRY_KEY", "REGISTRY_READ_KEY"},
    "slipway-stores": {"REDIS_URL"},
    "slipway-database": {"password", "uri"},
}


@everywhere
def test_every_object_keeps_to_its_schema(rendered: Rendered, place: str) -> None:
    assert len(rendered[place]) >= 35
    assert [message for each in rendered[place] for message in schemas.faults(each)] == []


@pytest.mark.parametrize(
    ("place", "kind", "path", "value", "message"),
    [
        ("base", "Deployment", "spec.replicsa", 2, "replicsa"),
        ("base", "Deployment", "spec.template.spec.restartPolice", "Always", "restartPolice"),
        ("base", "HorizontalPodAutoscaler", "spec.minReplicas", "two", "two"),
        ("base", "NetworkPolicy", "spec.egres", [], "egres"),
        ("components/prometheus-operator", "ServiceMonitor", "spec.podTargetLabel", [], "not"),
        ("components/prometheus-operator", "PrometheusRule", "spec.groups", "none", "none"),
        ("components/prometheus-operator", "AlertmanagerConfig", "spec.routes", {}, "routes"),
        ("components/keda", "ScaledObject", "spec.pollingIntervall", 5, "pollingIntervall"),
        ("components/argo-rollouts", "Rollout", "spec.strategy.canary.step", [], "step"),
        ("components/argo-rollouts", "AnalysisTemplate", "spec.metric", [], "metric"),
        ("components/kserve", "InferenceService", "spec.predictor.model.url", "x", "url"),
        ("components/kuberay", "RayJob", "spec.entrypoints", "x", "entrypoints"),
        ("components/kuberay", "RayJob", "spec.rayClusterSpec.workerGroupSpecs", 1, "workerGroup"),
    ],
)
def test_a_field_that_is_not_in_the_schema_is_found(
    rendered: Rendered, place: str, kind: str, path: str, value: Any, message: str
) -> None:
    wrong = copy.deepcopy(by_kind(rendered[place], kind)[0])
    *way, last = path.split(".")
    holder = wrong
    for name in way:
        holder = holder[name]
    holder[last] = value
    assert any(message in each for each in schemas.faults(wrong))


def test_a_kind_without_a_schema_is_found() -> None:
    unknown = {"apiVersion": "example.org/v1", "kind": "Ship", "metadata": {"name": "x"}}
    assert "there is no schema" in schemas.faults(unknown)[0]


def test_a_pod_of_a_ray_cluster_is_held_against_kubernetes_schema(rendered: Rendered) -> None:
    [job] = copy.deepcopy(by_kind(rendered["components/kuberay"], "RayJob"))
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["conteiners"] = []
    assert any("conteiners" in each for each in schemas.faults(job))


@everywhere
def test_no_pod_lacks_what_a_pod_must_have(rendered: Rendered, place: str) -> None:
    found = pods(rendered[place])
    assert len(found) >= 6
    assert [message for pod in found for message in shortcomings(pod)] == []


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        holder = spec
        for name in path[:-1]:
            holder = holder[int(name)] if isinstance(holder, list) else holder[name]
        del holder[path[-1]]

    return change


def _with(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        holder = spec
        for name in path[:-1]:
            holder = holder[int(name)] if isinstance(holder, list) else holder[name]
        holder[path[-1]] = value

    return change


FIRST = ("containers", "0")


CONTEXT = (*FIRST, "securityContext")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("automountServiceAccountToken"), "a token"),
        (_without("serviceAccountName"), "no service account"),
        (_without("enableServiceLinks"), "variables of Services"),
        (_with("securityContext", "runAsNonRoot", value=False), "run as root"),
        (_with("securityContext", "runAsUser", value=0), "run as root"),
        (_without("securityContext", "seccompProfile"), "seccomp"),
        (_with("hostNetwork", value=True), "hostNetwork"),
        (_with("hostPID", value=True), "hostPID"),
        (_with("hostIPC", value=True), "hostIPC"),
        (_with("volumes", value=[{"name": "v", "hostPath": {"path": "/"}}]), "the node's"),
        (_with("volumes", value=[{"name": "v", "emptyDir": {}}]), "no limit"),
        (_without(*CONTEXT, "readOnlyRootFilesystem"), "can be written"),
        (_without(*CONTEXT, "allowPrivilegeEscalation"), "gain privileges"),
        (_with(*CONTEXT, "privileged", value=True), "gain privileges"),
        (_with(*CONTEXT, "capabilities", value={"drop": []}), "capabilities"),
        (_with(*CONTEXT, "runAsUser", value=0), "runs as root"),
        (_without(*FIRST, "resources", "limits", "memory"), "no memory in limits"),
        (_without(*FIRST, "resources", "requests", "cpu"), "no cpu in requests"),
        (_with(*FIRST, "image", value="slipway/serving:latest"), "latest"),
        (_with(*FIRST, "ports", value=[{"containerPort": 1, "hostPort": 1}]), "the node's"),
        (_without(*FIRST, "livenessProbe"), "no livenessProbe"),
        (_without(*FIRST, "readinessProbe"), "no readinessProbe"),
        (_without(*FIRST, "startupProbe"), "no startupProbe"),
        (_without("initContainers", "0", "securityContext"), "feedback: it keeps capabilities"),
    ],
)
def test_each_thing_that_a_pod_may_lack_is_found(
    rendered: Rendered, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    [good] = [pod for pod in pods(rendered["base"]) if pod.name == "predict"]
    spec = copy.deepcopy(good.spec)
    change(spec)
    assert any(message in each for each in shortcomings(Pod(good.kind, "bad", good.labels, spec)))


@everywhere
def test_no_secret_has_a_value_but_those_that_are_made_locally(
    rendered: Rendered, place: str
) -> None:
    found = rendered[place]
    if place != "overlays/local":
        assert by_kind(found, "Secret") == []
    rest = json.dumps([each for each in found if each["kind"] != "Secret"])
    assert "slw_" not in rest
    for secret in by_kind(found, "Secret"):
        for value in secret["data"].values():
            assert base64.b64decode(value).decode() not in rest


@everywhere
def test_every_reference_leads_somewhere(rendered: Rendered, place: str) -> None:
    assert [
        message for pod in pods(rendered[place]) for message in _dangling(pod, rendered[place])
    ] == []


def _dangling(pod: Pod, found: list[Document]) -> list[str]:
    wanted = [("ServiceAccount", pod.spec["serviceAccountName"])]
    volumes = {}
    for volume in pod.spec.get("volumes", []):
        volumes[volume["name"]] = volume
        if "persistentVolumeClaim" in volume:
            wanted.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
        if "configMap" in volume:
            wanted.append(("ConfigMap", volume["configMap"]["name"]))
    missing = [
        f"{pod.where}: no {kind} {name}" for kind, name in wanted if not named(found, kind, name)
    ]
    for container in pod.containers:
        container_variables(pod, container, found)
        missing += [
            f"{pod.where}: no volume {mount['name']}"
            for mount in container.get("volumeMounts", [])
            if mount["name"] not in volumes
        ]
    return missing + [
        f"{pod.where}: nobody makes {name}/{key}"
        for name, key in secret_keys(pod)
        if key not in SECRETS.get(name, set())
    ]


def test_a_key_that_no_secret_has_is_found(rendered: Rendered) -> None:
    requested = {"mlflow": "MLFLOW_BACKEND_STORE_URI", "postgres": "POSTGRES_PASSWORD"}
    for name, variable in requested.items():
        found = copy.deepcopy(rendered["components/postgres"])
        [pod] = [each for each in pods(found) if each.name == name]
        [held] = [each for each in pod.running[0]["env"] if each["name"] == variable]
        held["valueFrom"]["secretKeyRef"]["key"] = "url"
        assert _dangling(pod, found) == [f"{pod.where}: nobody makes slipway-database/url"]


def test_what_is_made_locally_is_all_that_the_pods_ask_for(rendered: Rendered) -> None:
    """Except for the feature store, which is the operator's."""
    found = rendered["overlays/local"]
    held = {each["metadata"]["name"]: set(each["data"]) for each in by_kind(found, "Secret")}
    assert held == {name: keys for name, keys in SECRETS.items() if name != "slipway-stores"}
    requested = {pair for pod in pods(found) for pair in secret_keys(pod)}
    assert {(name, key) for name, key in requested if key not in held.get(name, set())} == {
        ("slipway-stores", "REDIS_URL")
    }


def test_a_reference_to_nothing_is_found(rendered: Rendered) -> None:
    base = rendered["base"]
    for kind in ("ServiceAccount", "PersistentVolumeClaim"):
        rest = [each for each in base if each["kind"] != kind]
        assert any(
            f"no {kind}" in message for pod in pods(rest) for message in _dangling(pod, rest)
        )


@everywhere
def test_every_selector_selects_pods(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    labels = [pod.labels for pod in pods(found)]
    for where, selector in _selectors(found):
        if selector.get("matchLabels") in OUTSIDE:
            continue
        assert any(matches(each, selector) for each in labels), f"{where} selects no pod"
    for deployment in [
        *by_kind(found, "Deployment"),
        *by_kind(found, "StatefulSet"),
    ]:
        own = deployment["spec"]["template"]["metadata"]["labels"]
        assert matches(own, deployment["spec"]["selector"]), deployment["metadata"]["name"]
        for spread in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert matches(own, spread["labelSelector"])
    for monitor in by_kind(found, "ServiceMonitor"):
        chosen = monitor["spec"]["selector"]
        assert any(
            matches(each["metadata"]["labels"], chosen) for each in by_kind(found, "Service")
        )


def _selectors(found: list[Document]) -> list[tuple[str, dict[str, Any]]]:
    selectors = []
    for each in found:
        where, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
        match each["kind"]:
            case "Service":
                selectors.append((where, {"matchLabels": spec["selector"]}))
            case "PodDisruptionBudget":
                selectors.append((where, spec["selector"]))
            case "NetworkPolicy":
                selectors.append((where, spec["podSelector"]))
                rules = [*spec.get("ingress", []), *spec.get("egress", [])]
                peers = [peer for rule in rules for peer in (rule.get("from") or rule["to"])]
                selectors += [
                    (where, peer["podSelector"])
                    for peer in peers
                    if "podSelector" in peer and "namespaceSelector" not in peer
                ]
    return selectors


@everywhere
def test_what_scales_and_what_is_scaled_are_one_to_one(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    scalers = [
        *by_kind(found, "HorizontalPodAutoscaler"),
        *by_kind(found, "ScaledObject"),
    ]
    assert len(scalers) == 1
    target = scalers[0]["spec"]["scaleTargetRef"]
    assert named(found, target["kind"], target["name"])
    for rollout in by_kind(found, "Rollout"):
        assert target["kind"] == "Rollout"
        reference = rollout["spec"]["workloadRef"]
        assert named(found, reference["kind"], reference["name"])
        steps = rollout["spec"]["strategy"]["canary"]["steps"]
        for step in steps:
            for template in step.get("analysis", {}).get("templates", []):
                analysis = named(found, "AnalysisTemplate", template["templateName"])
                assert analysis
                given = {each["name"] for each in step["analysis"]["args"]}
                assert given == {each["name"] for each in analysis["spec"]["args"]}
    # Replicas in the manifest would override the autoscaler with each `kubectl apply`.
    deployment = named(found, "Deployment", "predict")
    assert deployment
    assert "replicas" not in deployment["spec"]


@everywhere
def test_pods_that_open_the_labels_run_on_one_node(rendered: Rendered, place: str) -> None:
    """SQLite's WAL mode works on one machine only; on other nodes a mount covers the file."""
    label = {"slipway/opens": "feedback"}
    kept = home.home() / "predictions" / feedback_store.FILE
    place_of = str(Path("/var/lib/slipway") / kept.relative_to(home.home()))
    opens = set()
    for pod in pods(rendered[place]):
        claims = [
            each["name"]
            for each in pod.spec.get("volumes", [])
            if each.get("persistentVolumeClaim", {}).get("claimName") == "predictions"
        ]
        if not claims:
            continue
        [container] = pod.running
        covered = {each["mountPath"] for each in container["volumeMounts"] if each.get("readOnly")}
        if place_of in covered:
            continue
        opens.add(pod.name)
        assert matches(pod.labels, {"matchLabels": label})
        [wanted] = pod.spec["affinity"]["podAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert wanted["topologyKey"] == "kubernetes.io/hostname"
        assert wanted["labelSelector"] == {"matchLabels": label}
    optional = {"stream"} if place == "components/stream" else set()
    assert opens == {"feedback", "monitor", "trainer", *optional}


@everywhere
def test_what_several_nodes_mount_can_be_mounted_by_several(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    users: dict[str, list[Pod]] = {}
    for pod in pods(found):
        for volume in pod.spec.get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                users.setdefault(claim["claimName"], []).append(pod)
    shared = {
        name
        for name, whose in users.items()
        if len({pod.where for pod in whose}) > 1 or any(_overlaps(pod, found) for pod in whose)
    }
    assert shared - {"kserve-models"} == {"predictions", "training", "mlflow"}
    for claim in by_kind(found, "PersistentVolumeClaim"):
        name, modes = claim["metadata"]["name"], claim["spec"]["accessModes"]
        assert name in users
        one_node = place == "overlays/local"
        assert modes == ["ReadWriteMany" if name in shared and not one_node else "ReadWriteOnce"]


def _overlaps(pod: Pod, found: list[Document]) -> bool:
    """Return whether two pods can run at once: several replicas, or a rolling update."""
    deployment = named(found, "Deployment", pod.name)
    return bool(deployment) and deployment["spec"]["strategy"]["type"] != "Recreate"
