"""`k8s/` as kustomize renders it: schemas, policies, and that it says what the code says."""

import ast
import base64
import copy
import json
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from services import metrics_page
from services.features import app as features_app
from services.features.settings import Settings as FeaturesSettings
from services.monitor import app as monitor_app
from services.monitor.settings import Settings as MonitorSettings
from services.predict import app as predict_app
from services.predict.settings import Settings as PredictSettings
from services.settings import Settings
from services.trainer import __main__ as trainer_main
from services.trainer import app as trainer_app
from services.trainer.settings import Settings as TrainerSettings
from services.trainer.trainer import Trainer
from slipway import home
from slipway.access.keys import Keyring
from slipway.access.scopes import Scope
from slipway.cluster import secrets
from slipway.slo import configuration, generated, operator
from tests.conftest import ROOT
from tests.infra import reach, schemas
from tests.infra.conftest import K8S, OVERLAYS, PLACES
from tests.infra.manifests import (
    Document,
    Pod,
    bytes_of,
    matches,
    named,
    of_kind,
    pods,
    render,
    service_of,
    told,
)
from tests.infra.policies import shortcomings

Rendered = dict[str, list[Document]]
SETTINGS: dict[str, type[Settings]] = {
    "predict": PredictSettings,
    "monitor": MonitorSettings,
    "trainer": TrainerSettings,
    "features": FeaturesSettings,
}
# Each service's module in the image that holds what it imports.
IMAGES = {
    "predict": "slipway/serving",
    "features": "slipway/serving",
    "monitor": "slipway/monitor",
    "trainer": "slipway/training",
    "mlflow": "slipway/training",
}
# Known to every program; no code of ours reads it.
SYSTEM = {"HOME"}
# What is not ours to deploy: the operator's Redis, and pods of callers.
OUTSIDE = [{"app.kubernetes.io/name": "redis"}, {"slipway/asks": "predict"}]
SECRETS = {
    "slipway-keys": {"keys.json"},
    "slipway-callers": {"METRICS_KEY", "TRAIN_KEY"},
    "slipway-stores": {"REDIS_URL"},
}
everywhere = pytest.mark.parametrize("place", PLACES)


@everywhere
def test_every_object_keeps_to_its_schema(rendered: Rendered, place: str) -> None:
    assert len(rendered[place]) >= 35
    assert [said for each in rendered[place] for said in schemas.faults(each)] == []


@pytest.mark.parametrize(
    ("place", "kind", "path", "value", "said"),
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
    rendered: Rendered, place: str, kind: str, path: str, value: Any, said: str
) -> None:
    wrong = copy.deepcopy(of_kind(rendered[place], kind)[0])
    *way, last = path.split(".")
    holder = wrong
    for name in way:
        holder = holder[name]
    holder[last] = value
    assert any(said in each for each in schemas.faults(wrong))


def test_a_kind_without_a_schema_is_found() -> None:
    unknown = {"apiVersion": "example.org/v1", "kind": "Ship", "metadata": {"name": "x"}}
    assert "there is no schema" in schemas.faults(unknown)[0]


def test_a_pod_of_a_ray_cluster_is_held_against_kubernetes_schema(rendered: Rendered) -> None:
    [job] = copy.deepcopy(of_kind(rendered["components/kuberay"], "RayJob"))
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["conteiners"] = []
    assert any("conteiners" in each for each in schemas.faults(job))


@everywhere
def test_no_pod_lacks_what_a_pod_must_have(rendered: Rendered, place: str) -> None:
    found = pods(rendered[place])
    assert len(found) >= 6
    assert [said for pod in found for said in shortcomings(pod)] == []


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
    ("change", "said"),
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
        (_without("initContainers", "0", "securityContext"), "keys: it keeps capabilities"),
    ],
)
def test_each_thing_that_a_pod_may_lack_is_found(
    rendered: Rendered, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    [good] = [pod for pod in pods(rendered["base"]) if pod.name == "predict"]
    spec = copy.deepcopy(good.spec)
    change(spec)
    assert any(said in each for each in shortcomings(Pod(good.kind, "bad", good.labels, spec)))


@everywhere
def test_no_secret_has_a_value_but_those_that_are_made_locally(
    rendered: Rendered, place: str
) -> None:
    found = rendered[place]
    if place != "overlays/local":
        assert of_kind(found, "Secret") == []
    rest = [each for each in found if each["kind"] != "Secret"]
    assert "slw_" not in json.dumps(rest)


def test_git_holds_no_key() -> None:
    made = "k8s/overlays/local/secrets/callers.env"
    ignored = subprocess.run(["git", "check-ignore", "--quiet", made], cwd=ROOT)
    assert ignored.returncode == 0
    told = subprocess.run(["git", "ls-files", "k8s"], cwd=ROOT, capture_output=True, text=True)
    assert "kustomization.yaml" in told.stdout
    assert "/secrets/" not in told.stdout


@everywhere
def test_every_reference_leads_somewhere(rendered: Rendered, place: str) -> None:
    assert [said for pod in pods(rendered[place]) for said in _dangling(pod, rendered[place])] == []


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
        told(pod, container, found)
        missing += [
            f"{pod.where}: no volume {mount['name']}"
            for mount in container.get("volumeMounts", [])
            if mount["name"] not in volumes
        ]
    return missing + [
        f"{pod.where}: nobody makes {name}/{key}"
        for name, key in _secret_keys(pod)
        if key not in SECRETS.get(name, set())
    ]


def _secret_keys(pod: Pod) -> list[tuple[str, str]]:
    asked = [
        (source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
        for container in pod.containers
        for variable in container.get("env", [])
        if "secretKeyRef" in (source := variable.get("valueFrom", {}))
    ]
    mounted = [
        each["secret"]["secretName"] for each in pod.spec.get("volumes", []) if "secret" in each
    ]
    return asked + [(name, "keys.json") for name in mounted]


def test_a_reference_to_nothing_is_found(rendered: Rendered) -> None:
    base = rendered["base"]
    for kind in ("ServiceAccount", "PersistentVolumeClaim"):
        rest = [each for each in base if each["kind"] != kind]
        assert any(f"no {kind}" in said for pod in pods(rest) for said in _dangling(pod, rest))


@everywhere
def test_every_selector_selects_pods(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    labels = [pod.labels for pod in pods(found)]
    for where, selector in _selectors(found):
        if selector.get("matchLabels") in OUTSIDE:
            continue
        assert any(matches(each, selector) for each in labels), f"{where} selects no pod"
    for deployment in of_kind(found, "Deployment"):
        own = deployment["spec"]["template"]["metadata"]["labels"]
        assert matches(own, deployment["spec"]["selector"]), deployment["metadata"]["name"]
        for spread in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert matches(own, spread["labelSelector"])
    for monitor in of_kind(found, "ServiceMonitor"):
        chosen = monitor["spec"]["selector"]
        assert any(
            matches(each["metadata"]["labels"], chosen) for each in of_kind(found, "Service")
        )


def _selectors(found: list[Document]) -> list[tuple[str, dict[str, Any]]]:
    told = []
    for each in found:
        where, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
        match each["kind"]:
            case "Service":
                told.append((where, {"matchLabels": spec["selector"]}))
            case "PodDisruptionBudget":
                told.append((where, spec["selector"]))
            case "NetworkPolicy":
                told.append((where, spec["podSelector"]))
                rules = [*spec.get("ingress", []), *spec.get("egress", [])]
                peers = [peer for rule in rules for peer in (rule.get("from") or rule["to"])]
                told += [
                    (where, peer["podSelector"])
                    for peer in peers
                    if "podSelector" in peer and "namespaceSelector" not in peer
                ]
    return told


@everywhere
def test_what_scales_and_what_is_scaled_are_one_to_one(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    scalers = [*of_kind(found, "HorizontalPodAutoscaler"), *of_kind(found, "ScaledObject")]
    assert len(scalers) == 1
    target = scalers[0]["spec"]["scaleTargetRef"]
    assert named(found, target["kind"], target["name"])
    for rollout in of_kind(found, "Rollout"):
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
    # A number of replicas in the manifest would undo the scaler's with each `kubectl apply`.
    deployment = named(found, "Deployment", "predict")
    assert deployment
    assert "replicas" not in deployment["spec"]


@everywhere
def test_what_several_nodes_mount_can_be_mounted_by_several(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    users: dict[str, set[str]] = {}
    for pod in pods(found):
        for volume in pod.spec.get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                users.setdefault(claim["claimName"], set()).add(pod.where)
    shared = {name for name, whose in users.items() if len(whose) > 1 or "predict" in str(whose)}
    assert shared == {"predictions", "training"}
    for claim in of_kind(found, "PersistentVolumeClaim"):
        name, modes = claim["metadata"]["name"], claim["spec"]["accessModes"]
        assert name in users
        one_node = place == "overlays/local"
        assert modes == ["ReadWriteMany" if name in shared and not one_node else "ReadWriteOnce"]


def _servers(found: list[Document]) -> list[tuple[str, Pod, dict[str, Any]]]:
    """Containers of ours that listen, by service."""
    return [
        (service, pod, container)
        for pod in pods(found)
        for container in pod.running
        if (service := service_of(container))
    ]


def test_every_service_is_there_in_its_own_image(rendered: Rendered) -> None:
    found = {service: container["image"] for service, _, container in _servers(rendered["base"])}
    assert found == IMAGES
    folders = {each.parent.name for each in (ROOT / "services").glob("*/__main__.py")}
    assert found.keys() == folders | {"mlflow"}


@cache
def _read_by_code() -> frozenset[str]:
    """Texts in the code that are names of variables, and nothing else."""
    named = set()
    for folder in ("slipway", "services"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    named |= set(re.findall(r"\A[A-Z][A-Z0-9]*_[A-Z0-9_]+\Z", node.value))
    return frozenset(named)


def unknown(name: str, service: str | None) -> str | None:
    """Why the variable is none that a container of `service` reads."""
    ports = {f"SLIPWAY_{each.upper()}_PORT" for each in home.PORTS}
    for owner, settings in SETTINGS.items():
        if not name.startswith(settings.prefix) or name in ports:
            continue
        if service in SETTINGS and owner != service:
            return f"{name} is of {owner}, not of {service}"
        fields = {settings.variable(field) for field in settings.model_fields}
        return None if name in fields else f"{owner} has no setting {name}"
    if name in SYSTEM | ports | _read_by_code():
        return None
    return f"nothing reads {name}"


@everywhere
def test_every_variable_is_read_by_the_code(rendered: Rendered, place: str) -> None:
    wrong, seen = [], set()
    for pod in pods(rendered[place]):
        for container in pod.containers:
            given = told(pod, container, rendered[place])
            seen |= given.keys()
            service = service_of(container)
            wrong += [said for name in given if (said := unknown(name, service))]
    assert wrong == []
    assert {"SLIPWAY_HOME", "SLIPWAY_PREDICT_HOST", "MLFLOW_TRACKING_URI"} <= seen


@pytest.mark.parametrize(
    ("name", "service", "said"),
    [
        ("SLIPWAY_PREDICT_WORKRES", "predict", "no setting"),
        ("SLIPWAY_MONITOR_HOST", "predict", "not of predict"),
        ("SLIPWAY_HOEM", "predict", "nothing reads"),
        ("MLFLOW_TRACKING_URL", "monitor", "nothing reads"),
    ],
)
def test_a_variable_that_nothing_reads_is_found(name: str, service: str, said: str) -> None:
    assert said in str(unknown(name, service))


@everywhere
def test_every_value_is_one_that_the_service_takes(
    rendered: Rendered, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service, pod, container in _servers(rendered[place]):
        if service not in SETTINGS:
            continue
        with monkeypatch.context() as patch:
            for name, value in told(pod, container, rendered[place]).items():
                patch.setenv(name, "from-a-secret" if value is None else value)
            settings = SETTINGS[service].from_environment()
            assert settings.host == "0.0.0.0", f"{pod.where} cannot be reached by a probe"
            assert home.port(service) == home.PORTS[service]


@everywhere
def test_ports_are_the_services_own(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    for service, _, container in _servers(found):
        [port] = container["ports"]
        assert (port["name"], port["containerPort"]) == ("http", home.PORTS[service])
        exposed = named(found, "Service", service)
        assert exposed
        [outside] = exposed["spec"]["ports"]
        assert (outside["port"], outside["targetPort"]) == (home.PORTS[service], "http")


@pytest.fixture(scope="module")
def paths(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, set[str]]:
    """The routes of each application."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(tmp_path_factory.mktemp("routes")))
        applications: dict[str, Any] = {
            "predict": predict_app.create_app(PredictSettings()).rest,
            "monitor": monitor_app.create(MonitorSettings()),
            "trainer": trainer_app.create(TrainerSettings(), Trainer(TrainerSettings(), ROOT)),
            "features": features_app.create(FeaturesSettings(), CollectorRegistry()),
        }
    return {name: {route.path for route in app.routes} for name, app in applications.items()}


PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@everywhere
def test_every_probe_asks_for_what_the_service_answers(
    rendered: Rendered, place: str, paths: dict[str, set[str]]
) -> None:
    for service, pod, container in _servers(rendered[place]):
        for probe in PROBES:
            asked = container[probe]["httpGet"]
            assert asked["port"] == "http"
            if service != "mlflow":  # asked for real, where it is started
                assert asked["path"] in paths[service], f"{pod.where}: {probe} {asked['path']}"
        if "/v1/ready" in paths.get(service, set()):
            assert container["readinessProbe"]["httpGet"]["path"] == "/v1/ready"
            # A server without a champion is alive and not ready: it must not be killed for it.
            assert container["livenessProbe"]["httpGet"]["path"] == "/v1/live"


def test_the_ingress_leads_to_paths_of_the_model_server(
    rendered: Rendered, paths: dict[str, set[str]]
) -> None:
    for place in ("base", *OVERLAYS):
        [ingress] = of_kind(rendered[place], "Ingress")
        for rule in ingress["spec"]["rules"]:
            for each in rule["http"]["paths"]:
                assert any(path.startswith(each["path"] + "/") for path in paths["predict"])
                backend = each["backend"]["service"]
                assert backend == {"name": "predict", "port": {"name": "http"}}
                # Metrics, documentation and administration are for the cluster alone.
                assert not "/metrics".startswith(each["path"])


@everywhere
def test_a_pod_is_given_the_time_that_its_service_takes_to_end(
    rendered: Rendered, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {}
    for service, pod, container in _servers(rendered[place]):
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
        for name, value in told(pod, container, rendered[place]).items():
            monkeypatch.setenv(name, "from-a-secret" if value is None else value)
        match service:
            case "predict":
                # 5 s after draining the supervisor kills, and it waits 10 s for the keeper.
                own = PredictSettings.from_environment().drain_seconds + 5 + 10
                assert before["seconds"] >= 5, "balancers go on sending for a while"
            case "trainer":
                own = trainer_main.STOP_SECONDS + TrainerSettings.from_environment().end_seconds
            case _:
                own = 5
        needed[service] = own + before["seconds"]
        assert pod.spec["terminationGracePeriodSeconds"] >= needed[service], pod.where
    assert needed.keys() == IMAGES.keys()


@everywhere
def test_the_model_server_fits_into_its_pod(
    rendered: Rendered, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered[place]
    [(pod, container)] = [(pod, c) for name, pod, c in _servers(found) if name == "predict"]
    for name, value in told(pod, container, found).items():
        monkeypatch.setenv(name, "redis://store:6379" if value is None else value)
    settings = PredictSettings.from_environment()
    grown = settings.workers * settings.worker_bytes + settings.model_bytes
    assert grown + 2**29 <= bytes_of(container["resources"]["limits"]["memory"])
    assert settings.memory_bytes < settings.worker_bytes
    volumes = {each["name"]: each for each in pod.spec["volumes"]}
    assert settings.upload_bytes * 2 <= bytes_of(volumes["home"]["emptyDir"]["sizeLimit"])
    claim = named(found, "PersistentVolumeClaim", "predictions")
    assert claim
    assert settings.log_bytes <= bytes_of(claim["spec"]["resources"]["requests"]["storage"])
    # Its folder of metrics is emptied at the start: it must not be another pod's as well.
    assert settings.folder.is_relative_to(_mounted(container, "home"))
    assert settings.records == Path(_mounted(container, "predictions"))
    assert "emptyDir" in volumes["home"]


def _mounted(container: dict[str, Any], volume: str) -> str:
    [place] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == volume]
    return str(place)


@everywhere
def test_what_the_services_write_can_be_written(
    rendered: Rendered, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root file system cannot be, so every folder of the settings lies on a volume."""
    for service, pod, container in _servers(rendered[place]):
        if service not in SETTINGS:
            continue
        given = told(pod, container, rendered[place])
        writable = [
            Path(each["mountPath"])
            for each in container["volumeMounts"]
            if not each.get("readOnly")
        ]
        with monkeypatch.context() as patch:
            for name, value in given.items():
                patch.setenv(name, "from-a-secret" if value is None else value)
            settings = SETTINGS[service].from_environment()
            folders = [home.home(), getattr(settings, "folder", home.home()), Path("/tmp")]
            folders += [home.cache()] if "SLIPWAY_CACHE" in given else []
        for folder in [*folders, Path(str(given["HOME"]))]:
            assert any(folder.is_relative_to(each) for each in writable), (pod.where, folder)
        link = next(each for each in pod.spec["initContainers"] if each["name"] == "keys")
        target, name = link["command"][-2:]
        assert Path(name) == Path(str(given["SLIPWAY_HOME"])) / "keys.json"
        assert Path(target) == Path(_mounted(container, "keys")) / "keys.json"


def _calls(found: list[Document]) -> list[tuple[Pod, str, int]]:
    """By the settings: who calls which Service on which port."""
    told_of = []
    for pod in pods(found):
        for container in pod.containers:
            for name, value in told(pod, container, found).items():
                # An address, or host:port; not a variable that says where to listen.
                for host, port in re.findall(r"\A(?:https?://)?([a-z][a-z.-]*):(\d+)", value or ""):
                    assert named(found, "Service", host), f"{name}: there is no Service {host}"
                    told_of.append((pod, host, int(port)))
    return told_of


def _blocked(found: list[Document]) -> list[str]:
    told_of = []
    for caller, host, port in _calls(found):
        service = named(found, "Service", host)
        assert service
        [outside] = [each for each in service["spec"]["ports"] if each["port"] == port]
        called = [
            pod
            for pod in pods(found)
            if matches(pod.labels, {"matchLabels": service["spec"]["selector"]})
        ]
        for pod in called:
            [inside] = [
                each["containerPort"]
                for container in pod.running
                for each in container.get("ports", [])
                if each["name"] == outside["targetPort"]
            ]
            told_of += reach.allowed(found, caller, pod, inside)
    return told_of


@everywhere
def test_every_call_that_the_settings_name_is_let_pass(rendered: Rendered, place: str) -> None:
    called = {(caller.name, host) for caller, host, _ in _calls(rendered[place])}
    assert {("predict", "mlflow"), ("monitor", "mlflow"), ("trainer", "mlflow")} <= called
    assert {("train-every-project", "mlflow")} <= called
    if "monitoring.coreos.com" not in json.dumps(rendered[place]):
        assert ("monitor", "trainer") in called
    assert _blocked(rendered[place]) == []


@pytest.mark.parametrize("policy", ["predict", "monitor", "trainer", "mlflow", "training"])
def test_a_call_that_is_not_let_pass_is_found(rendered: Rendered, policy: str) -> None:
    rest = [
        each
        for each in rendered["base"]
        if (each["kind"], each["metadata"]["name"]) != ("NetworkPolicy", policy)
    ]
    assert any("may not" in said for said in _blocked(rest))


@everywhere
def test_nobody_else_is_let_pass(rendered: Rendered, place: str) -> None:
    """No pod may call another on a port unless a setting says that it does."""
    found = rendered[place]
    wanted = {(caller.name, host) for caller, host, _ in _calls(found)}
    # The pods that ask the registry by the settings that they share; Ray's talk among themselves.
    labelled = {(a.labels["app.kubernetes.io/name"], h) for a, h, _ in _calls(found)}
    for caller in pods(found):
        for called in pods(found):
            ports = {
                each["containerPort"]
                for container in called.running
                for each in container.get("ports", [])
            }
            for port in ports:
                if reach.allowed(found, caller, called, port):
                    continue
                pair = (caller.labels["app.kubernetes.io/name"], called.name)
                # Prometheus' component silences the monitor's own webhook; the way stays open.
                known = {*wanted, *labelled, ("monitor", "trainer")}
                assert pair in known, (
                    f"{caller.where} may call {called.where} on {port} for nothing"
                )


@everywhere
def test_everything_is_refused_unless_it_is_let_pass(rendered: Rendered, place: str) -> None:
    policies = of_kind(rendered[place], "NetworkPolicy")
    [nobody] = [
        each
        for each in policies
        if each["spec"]["podSelector"] == {}
        and each["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ]
    assert "ingress" not in nobody["spec"]
    assert "egress" not in nobody["spec"]
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), f"{policy['metadata']['name']} lets everybody in"
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                if "ipBlock" in peer:
                    assert "169.254.0.0/16" in peer["ipBlock"]["except"]


@everywhere
def test_who_stands_outside_is_let_in_where_he_asks(rendered: Rendered, place: str) -> None:
    """Prometheus at each /metrics, the ingress controller at the model server, by namespace."""
    found = rendered[place]
    policies = of_kind(found, "NetworkPolicy")
    wanted = {(name, "monitoring") for name in SETTINGS} | {("predict", "ingress")}
    seen = set()
    for service, pod, _ in _servers(found):
        for policy in reach.selecting(policies, "Ingress", pod):
            for rule in policy["spec"].get("ingress", []):
                for peer in rule["from"]:
                    role = peer.get("namespaceSelector", {}).get("matchLabels", {})
                    if "slipway/role" in role:
                        assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
                        seen.add((service, role["slipway/role"]))
    assert seen == wanted


def test_the_operators_objects_are_current() -> None:
    assert operator.differences() == []


def test_an_object_that_is_not_current_is_found(tmp_path: Path) -> None:
    written = operator.write(tmp_path)
    assert operator.differences(tmp_path) == []
    written[0].write_text(written[0].read_text().replace("14.4", "14.5", 1))
    written[1].unlink()
    assert len(operator.differences(tmp_path)) == 2


def test_the_rules_are_those_of_prometheus_itself(rendered: Rendered) -> None:
    found = of_kind(rendered["components/prometheus-operator"], "PrometheusRule")
    files = {
        file.stem: yaml.safe_load(file.read_text()) for file in generated.folder().glob("*.yaml")
    }
    assert {each["metadata"]["name"]: each["spec"] for each in found} == {
        f"slipway-{name}": content for name, content in files.items()
    }


def test_a_matcher_that_cannot_be_read_is_refused() -> None:
    committed = yaml.safe_load((ROOT / "infra/alertmanager/alertmanager.yml").read_text())
    committed["route"]["routes"][0]["matchers"] = ["action=retrain"]
    with pytest.raises(ValueError, match="a matcher must read"):
        operator.alertmanager_config(committed)


def test_what_is_scraped_has_the_jobs_of_the_rules(rendered: Rendered) -> None:
    found = rendered["components/prometheus-operator"]
    [monitor] = of_kind(found, "ServiceMonitor")
    label = monitor["spec"]["jobLabel"]
    chosen = [
        each
        for each in of_kind(found, "Service")
        if matches(each["metadata"]["labels"], monitor["spec"]["selector"])
    ]
    jobs = {job["job_name"] for job in configuration.prometheus()["scrape_configs"]}
    assert {each["metadata"]["labels"][label] for each in chosen} == jobs
    [endpoint] = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {p["name"] for p in each["spec"]["ports"]} for each in chosen)


def test_prometheus_labels_do_not_hide_ours() -> None:
    """The operator gives series these labels; ours of the same name would be called exported_."""
    given = {"namespace", "pod", "service", "container", "endpoint", "job", "instance"}
    rows = re.findall(r"^\| `\w+` \| \w+ \| ([^|]*) \|", metrics_page.page(), re.MULTILINE)
    ours = {label for row in rows for label in filter(None, row.strip().split(", "))}
    assert {"project", "variant"} <= ours
    assert ours & given == set()


def test_alertmanager_tells_the_trainer_and_the_monitor_does_not(rendered: Rendered) -> None:
    found = rendered["components/prometheus-operator"]
    [config] = of_kind(found, "AlertmanagerConfig")
    receivers = {each["name"]: each for each in config["spec"]["receivers"]}
    [hook] = receivers["trainer"]["webhookConfigs"]
    assert hook["url"] == operator.TRAINER
    [given] = [
        told(pod, container, found) for name, pod, container in _servers(found) if name == "monitor"
    ]
    assert given["SLIPWAY_MONITOR_WEBHOOK"] == ""
    [alone] = [
        told(pod, container, rendered["base"])
        for name, pod, container in _servers(rendered["base"])
        if name == "monitor"
    ]
    assert alone["SLIPWAY_MONITOR_WEBHOOK"] == hook["url"]


def test_the_keys_that_are_made_open_what_they_are_for(rendered: Rendered, tmp_path: Path) -> None:
    found = rendered["overlays/local"]
    held = {each["metadata"]["name"]: each["data"] for each in of_kind(found, "Secret")}
    file = tmp_path / "keys.json"
    file.write_bytes(base64.b64decode(held["slipway-keys"]["keys.json"]))
    keyring = Keyring(file)
    asked = {
        key for pod in pods(found) for name, key in _secret_keys(pod) if name == "slipway-callers"
    }
    assert asked == {"TRAIN_KEY"}
    wanted = {"METRICS_KEY": Scope.METRICS, "TRAIN_KEY": Scope.TRAIN}
    assert held["slipway-callers"].keys() == wanted.keys() == SECRETS["slipway-callers"]
    for name, scope in wanted.items():
        key = keyring.authenticate(base64.b64decode(held["slipway-callers"][name]))
        assert key.scopes == (scope,)


def test_keys_in_use_are_not_written_over(tmp_path: Path) -> None:
    secrets.write(tmp_path)
    kept = (tmp_path / secrets.KEYRING).read_bytes()
    assert (tmp_path / secrets.CALLERS).stat().st_mode & 0o077 == 0
    with pytest.raises(secrets.SecretsExist, match="would be lost"):
        secrets.write(tmp_path)
    assert (tmp_path / secrets.KEYRING).read_bytes() == kept


DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


def test_production_names_images_by_digest_once_they_are_set(k8s: Path, tmp_path: Path) -> None:
    """As committed each is no valid reference; with digests nothing is left to be set."""
    ours = {"slipway/serving", "slipway/monitor", "slipway/training"}
    unset = _images(render(k8s / "overlays/production"))
    assert {name.rpartition("@")[0].removeprefix("registry.invalid/") for name in unset} == ours
    assert not any(DIGEST.fullmatch(name) for name in unset)
    copied = tmp_path / "k8s"
    subprocess.run(["cp", "-r", K8S, copied], check=True)
    for overlay in ("production", "gpu"):
        file = copied / "overlays" / overlay / "kustomization.yaml"
        file.write_text(file.read_text().replace("sha256:set-me", f"sha256:{'a' * 64}"))
        found = _images(render(copied / "overlays" / overlay))
        assert all(DIGEST.fullmatch(name) for name in found if "slipway" in name)
        assert len([name for name in found if "slipway" in name]) == 3


def _images(found: list[Document]) -> set[str]:
    return {container["image"] for pod in pods(found) for container in pod.containers}


@pytest.mark.parametrize("place", OVERLAYS)
def test_an_overlay_has_a_namespace_that_refuses_other_pods(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    [namespace] = of_kind(found, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    rest = [each for each in found if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in rest} == {namespace["metadata"]["name"]}


def test_the_base_names_no_namespace(rendered: Rendered) -> None:
    assert not any("namespace" in each["metadata"] for each in rendered["base"])
