"""The manifests match the code: variables, ports, probes, folders, sizes and times."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from infra.delivery import images
from services.features import app as features_app
from services.features.settings import Settings as FeaturesSettings
from services.monitor import app as monitor_app
from services.monitor.settings import Settings as MonitorSettings
from services.predict import app as predict_app
from services.predict.settings import Settings as PredictSettings
from services.stream import app as stream_app
from services.stream.settings import Settings as StreamSettings
from services.trainer import app as trainer_app
from services.trainer.settings import Settings as TrainerSettings
from services.trainer.trainer import Trainer
from services.web import process
from slipway import home
from tests.conftest import ROOT
from tests.infra.conftest import OVERLAYS, Rendered, everywhere
from tests.infra.manifests import (
    SETTINGS,
    Document,
    Pod,
    by_kind,
    bytes_of,
    container_variables,
    named,
    pods,
    servers,
    service_of,
)

# Each service's module, with the image that has its packages.
IMAGES = {
    "predict": "slipway/serving-features",
    "features": "slipway/serving-features",
    "monitor": "slipway/monitor",
    "trainer": "slipway/training",
    "mlflow": "slipway/registry",
    "stream": "slipway/stream",
}
TRUSTED = "trusted-keys"
# Needs a Kafka, which no overlay has.
OPTIONAL = {"stream"}

# Standard variables; our code does not read them.
SYSTEM = {"HOME"}
# Variables of the official PostgreSQL image.
OTHERS = {
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "PGDATA", "LANG"},
}


def test_every_service_is_there_in_its_own_image(rendered: Rendered) -> None:
    found = {service: container["image"] for service, _, container in servers(rendered["base"])}
    for service in OPTIONAL:
        [(_, _, container)] = [
            each for each in servers(rendered[f"components/{service}"]) if each[0] == service
        ]
        found[service] = container["image"]
    assert found == IMAGES
    folders = {each.parent.name for each in (ROOT / "services").glob("*/__main__.py")}
    # The dashboard has no API keys: it runs on a person's own machine, or with Compose.
    assert found.keys() == folders - {"explain"}
    targets = images.targets(ROOT)
    assert {name.removeprefix("slipway/") for name in found.values()} <= set(targets)


@pytest.mark.parametrize(
    ("component", "chosen"), [("media", "serving-media"), ("small", "serving")]
)
def test_a_component_chooses_another_image_for_model_servers(
    rendered: Rendered, component: str, chosen: str
) -> None:
    found = servers(rendered[f"components/{component}"])
    others = {container["image"] for service, _, container in found if service != "predict"}
    predict = {container["image"] for service, _, container in found if service == "predict"}
    assert predict == {f"slipway/{chosen}"}
    assert others <= set(IMAGES.values())
    assert chosen in images.targets(ROOT)


@cache
def _read_by_code() -> frozenset[str]:
    """Return string literals in the code that are names of variables."""
    named = set()
    for folder in ("slipway", "services", "infra"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    named |= set(re.findall(r"\A[A-Z][A-Z0-9]*_[A-Z0-9_]+\Z", node.value))
    return frozenset(named)


def unknown(name: str, service: str | None) -> str | None:
    """Return why a container of `service` does not read the variable."""
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
            given = container_variables(pod, container, rendered[place])
            seen |= given.keys()
            service = service_of(container)
            theirs = OTHERS.get(container["image"].partition(":")[0])
            if theirs is not None:
                wrong += [f"{pod.where} does not read {name}" for name in given.keys() - theirs]
                continue
            wrong += [message for name in given if (message := unknown(name, service))]
    assert wrong == []
    assert {"SLIPWAY_HOME", "SLIPWAY_PREDICT_HOST", "MLFLOW_TRACKING_URI"} <= seen


@pytest.mark.parametrize(
    ("name", "service", "message"),
    [
        ("SLIPWAY_PREDICT_WORKRES", "predict", "no setting"),
        ("SLIPWAY_MONITOR_HOST", "predict", "not of predict"),
        ("SLIPWAY_HOEM", "predict", "nothing reads"),
        ("MLFLOW_TRACKING_URL", "monitor", "nothing reads"),
    ],
)
def test_a_variable_that_nothing_reads_is_found(name: str, service: str, message: str) -> None:
    assert message in str(unknown(name, service))


@everywhere
def test_every_value_is_one_that_the_service_takes(
    rendered: Rendered, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service, pod, container in servers(rendered[place]):
        if service not in SETTINGS:
            continue
        with monkeypatch.context() as patch:
            for name, value in container_variables(pod, container, rendered[place]).items():
                patch.setenv(name, "from-a-secret" if value is None else value)
            settings = SETTINGS[service].from_environment()
            assert settings.host == "0.0.0.0", f"{pod.where} cannot be reached by a probe"
            assert home.port(service) == home.PORTS[service]


@everywhere
def test_ports_are_the_services_own(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    for service, pod, container in servers(found):
        [port] = container["ports"]
        assert (port["name"], port["containerPort"]) == ("http", home.PORTS[service])
        exposed = named(found, "Service", pod.name)
        assert exposed
        [outside] = exposed["spec"]["ports"]
        assert (outside["port"], outside["targetPort"]) == (home.PORTS[service], "http")


@pytest.fixture(scope="module")
def paths(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, set[str]]:
    """Return the routes of each application."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(tmp_path_factory.mktemp("routes")))
        applications: dict[str, Any] = {
            "predict": predict_app.create_app(PredictSettings()).rest,
            "monitor": monitor_app.create(MonitorSettings()),
            "trainer": trainer_app.create(TrainerSettings(), Trainer(TrainerSettings(), ROOT)),
            "features": features_app.create(FeaturesSettings(), CollectorRegistry()),
            "stream": stream_app.create(StreamSettings()),
        }
    return {name: {route.path for route in app.routes} for name, app in applications.items()}


PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@everywhere
def test_every_probe_requests_a_route_of_the_service(
    rendered: Rendered, place: str, paths: dict[str, set[str]]
) -> None:
    for service, pod, container in servers(rendered[place]):
        for probe in PROBES:
            request = container[probe]["httpGet"]
            assert request["port"] == "http"
            if service != "mlflow":  # requested for real where it is started
                assert request["path"] in paths[service], f"{pod.where}: {probe} {request['path']}"
        if "/v1/ready" in paths.get(service, set()):
            assert container["readinessProbe"]["httpGet"]["path"] == "/v1/ready"
            # A server without a champion is live and not ready: it must not be killed.
            assert container["livenessProbe"]["httpGet"]["path"] == "/v1/live"


def test_the_ingress_leads_to_paths_of_the_model_server(
    rendered: Rendered, paths: dict[str, set[str]]
) -> None:
    for place in ("base", *OVERLAYS):
        [ingress] = by_kind(rendered[place], "Ingress")
        for rule in ingress["spec"]["rules"]:
            for each in rule["http"]["paths"]:
                assert any((path + "/").startswith(each["path"] + "/") for path in paths["predict"])
                backend = each["backend"]["service"]
                wanted = "feedback" if each["path"] == "/v1/feedback" else "predict"
                assert backend == {"name": wanted, "port": {"name": "http"}}
                # Metrics are for the cluster only.
                assert not "/metrics".startswith(each["path"])
            assert "/v1/feedback" in {each["path"] for each in rule["http"]["paths"]}


@everywhere
def test_a_pod_is_given_the_time_that_its_service_takes_to_end(
    rendered: Rendered, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {}
    for service, pod, container in servers(rendered[place]):
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
        for name, value in container_variables(pod, container, rendered[place]).items():
            monkeypatch.setenv(name, "from-a-secret" if value is None else value)
        match service:
            case "predict":
                # 5 s after draining the supervisor kills workers, and waits 10 s for registry_sync.
                own = PredictSettings.from_environment().drain_seconds + 5 + 10
                assert before["seconds"] >= 5, "balancers go on sending for a while"
            case "trainer":
                own = process.STOP_SECONDS + TrainerSettings.from_environment().end_seconds
            case "stream":
                own = process.STOP_SECONDS + stream_app.STOP_SECONDS
            case _:
                own = process.STOP_SECONDS
        needed[service] = own + before["seconds"]
        assert pod.spec["terminationGracePeriodSeconds"] >= needed[service], pod.where
    assert needed.keys() >= IMAGES.keys() - OPTIONAL


@everywhere
def test_the_model_server_fits_into_its_pod(
    rendered: Rendered, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered[place]
    ours = [(pod, each) for name, pod, each in servers(found) if name == "predict"]
    assert {pod.name for pod, _ in ours} == {"predict", "feedback"}
    for pod, container in ours:
        for name, value in container_variables(pod, container, found).items():
            monkeypatch.setenv(name, "redis://store:6379" if value is None else value)
        _fits(pod, container, found)


def _fits(pod: Pod, container: dict[str, Any], found: list[Document]) -> None:
    settings = PredictSettings.from_environment()
    grown = settings.workers * settings.worker_bytes + settings.model_bytes
    assert grown + 2**29 <= bytes_of(container["resources"]["limits"]["memory"])
    assert settings.memory_bytes < settings.worker_bytes
    volumes = {each["name"]: each for each in pod.spec["volumes"]}
    assert settings.upload_bytes * 2 <= bytes_of(volumes["home"]["emptyDir"]["sizeLimit"])
    claim = named(found, "PersistentVolumeClaim", "predictions")
    assert claim
    assert settings.log_bytes <= bytes_of(claim["spec"]["resources"]["requests"]["storage"])
    # The server empties its folder of metrics at the start: pods must not share it.
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
    """The root file system is read-only, so every folder in the settings is on a volume."""
    for service, pod, container in servers(rendered[place]):
        if service not in SETTINGS:
            continue
        given = container_variables(pod, container, rendered[place])
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


@everywhere
def test_a_service_finds_its_keys_and_a_job_has_none(rendered: Rendered, place: str) -> None:
    """The Secret is mounted as a folder: a single file would never change.

    What trains has the key that signs versions besides.
    """
    for pod in pods(rendered[place]):
        every = [each for each in pod.spec.get("volumes", []) if "secret" in each]
        secret = [each for each in every if each["name"] not in ("signing", "trusted")]
        # Of the keyring, a job has only the public keys that verify signatures.
        for each in every:
            if each["name"] == "trusted":
                [item] = each["secret"]["items"]
                assert (each["secret"]["secretName"], item["key"]) == ("slipway-keys", TRUSTED)
        names = {each["name"] for each in every}
        assert "signing" not in names or names & {"keys", "trusted"}, pod.where
        for container in pod.containers if secret != every else ():
            given = container_variables(pod, container, rendered[place])
            assert given["SLIPWAY_SIGNING_KEY"] == "/etc/slipway/signing/signing-key"
        services = [each for each in pod.running if service_of(each) in SETTINGS]
        assert [each["name"] for each in secret] == ["keys" for _ in services], pod.where
        for container in services:
            [volume] = secret
            assert volume["secret"]["secretName"] == "slipway-keys"
            assert "items" not in volume["secret"]
            [mount] = [each for each in container["volumeMounts"] if each["name"] == "keys"]
            assert mount["readOnly"] is True
            assert "subPath" not in mount
            given = container_variables(pod, container, rendered[place])
            assert given["SLIPWAY_KEYRING"] == f"{mount['mountPath']}/keys.json"
