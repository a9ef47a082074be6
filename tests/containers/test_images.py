"""The images as they would be deployed: confined, small, healthy, and stopped cleanly."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.compose.running import wait_until
from infra.delivery import sizes
from infra.docker import docker
from slipway import home
from slipway.home import free_port
from tests.conftest import ROOT, running
from tests.containers.docker import TARGETS, Container, container, image, inspected, trusting
from tests.services.fake_models import ModelRegistryFixture, echo

# Each starts one container at most: seconds, once the image is built.
pytestmark = pytest.mark.quick_container

# Of the layers above the Python image, which differs from place to place.
# tests/infra/test_environment.py, which needs no engine, checks the names of `serving`'s packages.
MEGABYTES = {
    "serving": 500,
    "serving-features": 600,
    "serving-media": 900,
    "monitor": 1000,
    "explain": 1500,
}
# A model that requires the serving group `vision`.
BLURRED = '''
"""A model that a test defines."""

import cv2
import numpy as np

from slipway.contract import Model, Record, publish


class Gray(Record):
    level: float


class Blurred(Model):
    def predict(self, model_input: list[Gray]) -> list[Gray]:
        images = [np.full((8, 8), each.level) for each in model_input]
        return [Gray(level=float(cv2.GaussianBlur(image, (3, 3), 0).mean())) for image in images]


publish(Blurred())
'''
# A model that looks up features, which needs the serving group `features`.
LOYAL = '''
"""A model that a test defines."""

from slipway.contract import Lookup, Model, Record, publish


class Customer(Record):
    orders: int


class Loyal(Model):
    looked_up = Lookup(entity="customer_id", service="repurchase")

    def predict(self, model_input: list[Customer]) -> list[Customer]:
        return model_input


publish(Loyal())
'''


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ModelRegistryFixture, str]]:
    fake_models = ModelRegistryFixture(tmp_path_factory.mktemp("fake_models"))
    # Containers read it as another user.
    for folder in (fake_models.folder, *fake_models.folder.parents[:3]):
        folder.chmod(0o755)
    fake_models.add("echo", echo("echo"))
    example = {"input": {"level": 7.0}, "output": {"level": 7.0}}
    fake_models.add("blurred", BLURRED, example=example, serving='{"requires": ["vision"]}')
    fake_models.add("loyal", LOYAL, example={"input": {"orders": 7}, "output": {"orders": 7}})
    port = free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    with running(
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", fake_models.uri),
        *("--workers", "1", "--port", port),
        env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        log=fake_models.folder / "mlflow.log",
        ready=f"{address}/health",
    ):
        yield fake_models, address


@contextmanager
def serving(
    registry: tuple[ModelRegistryFixture, str], target: str
) -> Iterator[tuple[Container, str, float]]:
    """Yield the container, its address, and the seconds until it was ready."""
    fake_models, address = registry
    port, began = free_port(), time.monotonic()
    own = f"http://{home.LOOPBACK}:{port}"
    settings = {"MLFLOW_TRACKING_URI": address, "SLIPWAY_PREDICT_PORT": port}
    volume = f"{fake_models.folder}:{fake_models.folder}:ro"
    with container(target, "--volume", volume, *trusting(), environment=settings) as it:
        wait_until(lambda: responds(f"{own}/v1/ready"), 60, details=lambda: it.log)
        yield it, own, time.monotonic() - began


@pytest.fixture(scope="module")
def predict(registry: tuple[ModelRegistryFixture, str]) -> Iterator[tuple[Container, str, float]]:
    with serving(registry, "serving") as running:
        yield running


def responds(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root(target: str) -> None:
    # Debian's package makes the proxy's user.
    wanted = "haproxy" if target == "proxy" else "10001"
    assert inspected(image(target))["Config"]["User"] == wanted


@pytest.mark.parametrize("target", MEGABYTES)
def test_an_image_stays_small(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = sizes.megabytes(image(target))
    with capsys.disabled():
        print(f"\n{target}: {found:.0f} MB above {sizes.BASE}")
    assert found < MEGABYTES[target]
    # `python -m infra.delivery.sizes` measures again, for docs/operations.md.
    assert found == pytest.approx(sizes.read(ROOT)[target], rel=0.02)


@pytest.mark.parametrize("package", ["feast", "pandas", "sqlalchemy", "redis", "setuptools"])
def test_the_smallest_image_has_no_feature_store(package: str) -> None:
    assert "ModuleNotFoundError" in import_fault("serving", package)


@pytest.mark.parametrize("target", ["serving", "serving-features", "serving-media"])
@pytest.mark.parametrize("package", ["torch", "sklearn", "dvc", "evidently", "pip", "pytest"])
def test_what_trains_and_installs_is_not_where_it_serves(package: str, target: str) -> None:
    assert "ModuleNotFoundError" in import_fault(target, package)


def import_fault(target: str, package: str) -> str:
    """Import the package in the image, which must fail; return the traceback."""
    command = ["docker", "run", "--rm", "--network", "none", image(target)]
    command += ["python", "-c", f"import {package}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


def test_it_serves_when_confined(predict: tuple[Container, str, float]) -> None:
    _, address, seconds = predict
    response = httpx.post(f"{address}/v1/models/echo/predict", json={"number": 7.0}, timeout=30)
    assert response.status_code == 200, response.text
    assert response.json()["predictions"] == [{"number": 7.0, "model": "echo"}]
    print(f"ready after {seconds:.1f} s")


def test_readiness_names_the_image_that_a_model_needs(
    predict: tuple[Container, str, float],
) -> None:
    def faults() -> dict[str, str]:
        return httpx.get(f"{predict[1]}/v1/ready").json()["faults"]

    wait_until(lambda: faults().keys() == {"blurred", "loyal"}, 60, details=lambda: str(faults()))
    assert "needs the serving group vision" in faults()["blurred"]
    assert faults()["blurred"].endswith("the image serving-media has it")
    assert "needs the serving group features (feast)" in faults()["loyal"]
    assert faults()["loyal"].endswith("the image serving-features has it")


def test_the_image_with_feast_serves_what_looks_up_features(
    registry: tuple[ModelRegistryFixture, str],
) -> None:
    with serving(registry, "serving-features") as (it, address, _):
        served = f"{address}/v1/models/loyal"
        wait_until(lambda: responds(served), 60, details=lambda: it.log)
        response = httpx.post(f"{served}/predict", json={"orders": 7}, timeout=30)
        assert response.json()["predictions"] == [{"orders": 7}]
        # The container has no store: Feast is asked, and fails to open it.
        response = httpx.post(f"{served}/predict", json={"customer_id": 1}, timeout=30)
        assert response.status_code == 503
        assert "no online.db" in it.log


def test_the_media_image_serves_what_requires_a_serving_group(
    registry: tuple[ModelRegistryFixture, str],
) -> None:
    with serving(registry, "serving-media") as (it, address, _):
        wait_until(lambda: responds(f"{address}/v1/models/loyal"), 60, details=lambda: it.log)
        listed = httpx.get(f"{address}/v1/models").json()
        assert {each["name"] for each in listed["models"]} == {"echo", "blurred", "loyal"}
        assert listed["faults"] == {}
        response = httpx.post(f"{address}/v1/models/blurred/predict", json={"level": 7.0})
        assert response.json()["predictions"] == [{"level": 7.0}]


def test_it_becomes_healthy(predict: tuple[Container, str, float]) -> None:
    wait_until(lambda: predict[0].health == "healthy", 60, details=lambda: predict[0].log)


def test_it_writes_to_its_home_alone(predict: tuple[Container, str, float]) -> None:
    it = predict[0]
    assert it.run("touch", "/var/lib/slipway/mine").returncode == 0
    for place in ("/app/mine", "/opt/slipway/mine", "/etc/mine"):
        done = it.run("touch", place)
        assert "Read-only file system" in done.stderr
    assert it.run("id", "-u").stdout.strip() == "10001"


def test_it_stops_cleanly_on_sigterm(registry: tuple[ModelRegistryFixture, str]) -> None:
    fake_models, address = registry
    port = free_port()
    settings = {"MLFLOW_TRACKING_URI": address, "SLIPWAY_PREDICT_PORT": port}
    volume = f"{fake_models.folder}:{fake_models.folder}:ro"
    with container("serving", "--volume", volume, *trusting(), environment=settings) as it:
        wait_until(
            lambda: responds(f"http://{home.LOOPBACK}:{port}/v1/ready"), 60, details=lambda: it.log
        )
        assert it.ended() == 0


def test_open_to_others_it_wants_a_key_first() -> None:
    with container("serving", environment={"SLIPWAY_PREDICT_HOST": "0.0.0.0"}) as it:
        wait_until(lambda: not inspected(it.id)["State"]["Running"], 60)
        assert "there is no API key: create one with `slipway keys create" in it.log


def test_the_monitor_starts_and_is_well(registry: tuple[ModelRegistryFixture, str]) -> None:
    port = free_port()
    settings = {"MLFLOW_TRACKING_URI": registry[1], "SLIPWAY_MONITOR_PORT": port}
    with container("monitor", environment=settings) as it:
        wait_until(
            lambda: responds(f"http://{home.LOOPBACK}:{port}/v1/ready"), 90, details=lambda: it.log
        )
        wait_until(lambda: it.health == "healthy", 60, details=lambda: it.log)


def test_the_training_image_can_train(tmp_path: Path) -> None:
    """Its packages are complete; data and registry come with the deployment."""
    output = docker(
        *("run", "--rm", "--network", "none", "--tmpfs", "/tmp", "--tmpfs", "/var/lib/slipway"),
        *(image("training"), "python", "-m", "slipway", "list"),
    )
    assert "titanic" in output
