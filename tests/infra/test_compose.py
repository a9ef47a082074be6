"""docker-compose.yml as it is read without a Docker engine; tests/containers runs it."""

import re
from typing import Any

import pytest
import yaml

from infra.delivery import dockerfile
from slipway import home
from tests.conftest import ROOT

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
BUILT = {name: each for name, each in SERVICES.items() if "build" in each}
# Where people reach each from this machine; the port in the container is the default one.
PUBLISHED = {
    "proxy": ("SLIPWAY_PREDICT_PORT", home.PORTS["predict"]),
    "grafana": ("SLIPWAY_GRAFANA_PORT", 3000),
    "explain": ("SLIPWAY_EXPLAIN_PORT", home.PORTS["explain"]),
}
# Kafka's start script writes settings beside its programs.
WRITABLE = {"kafka"}


def test_what_is_published_is_published_on_loopback_alone() -> None:
    published = {name: each["ports"] for name, each in SERVICES.items() if each.get("ports")}
    assert published == {
        name: [f"{home.LOOPBACK}:${{{variable}:-{port}}}:{port}"]
        for name, (variable, port) in PUBLISHED.items()
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is (name not in WRITABLE)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= limits.keys()


@pytest.mark.parametrize("name", BUILT)
def test_what_is_built_is_a_target_of_the_dockerfile(name: str) -> None:
    build = BUILT[name]["build"]
    assert build["dockerfile"] == str(dockerfile.FILE)
    target = re.sub(r"^\$\{\w+:-([\w-]+)\}$", r"\1", build["target"])
    assert target in dockerfile.targets((ROOT / dockerfile.FILE).read_text())


def test_the_dashboard_is_optional_and_reads_the_registry_alone() -> None:
    """It shares no network with what serves; its key reads the registry and nothing else."""
    dashboard = SERVICES["explain"]
    assert dashboard["profiles"] == ["explain"]
    assert set(dashboard["networks"]) == {"door", "registry"}
    assert dashboard["volumes"] == [
        "keyring:/run/slipway/keyring:ro",
        "registry-read-secret:/run/slipway/registry-read:ro",
    ]
    assert dashboard["environment"] == {
        "MLFLOW_TRACKING_URI": SERVICES["predict"]["environment"]["MLFLOW_TRACKING_URI"],
        "SLIPWAY_KEYRING": SERVICES["predict"]["environment"]["SLIPWAY_KEYRING"],
        "HOME": "/tmp",
        "MLFLOW_TRACKING_TOKEN_FILE": "/run/slipway/registry-read/key",
        "SLIPWAY_EXPLAIN_HOST": "0.0.0.0",
    }
    assert dashboard["cpu_shares"] < SERVICES["predict"]["cpu_shares"]


WITH_SECRETS = ["python", "-m", "services.with_secrets"]


@pytest.mark.parametrize("name", BUILT)
def test_who_gets_secrets_by_files_starts_by_reading_them(name: str) -> None:
    """Our images do by their own entrypoint, so another one must do it, too."""
    service = SERVICES[name]
    named = [each for each in service.get("environment", {}) if each.endswith("_FILE")]
    if named and (entrypoint := service.get("entrypoint")):
        assert entrypoint[:3] == WITH_SECRETS, named
    for variable in named:
        folder = service["environment"][variable].rpartition("/")[0]
        places = [str(each).split(":")[1] for each in service["volumes"] if ":" in str(each)]
        assert folder in places, f"{name}: {variable} is on no volume"


def test_the_catalogue_gets_the_links_that_the_shell_sets() -> None:
    environment = SERVICES["predict"]["environment"]
    assert environment["SLIPWAY_PREDICT_LINKS"] is None
