"""The dashboard in its container: a page of a model in a real browser, and the compose service."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra.compose.running import wait_until
from infra.docker import docker
from slipway import home
from slipway.home import free_port
from tests.browser import Browser, Tab
from tests.conftest import ROOT, running
from tests.containers.docker import Container, container, image, inspected, trusting
from tests.containers.stack import Stack, request_status
from tests.containers.test_images import responds
from tests.services.explained_models import add_explained_models
from tests.small_models import SmallModels
from tests.waiting import until

# The first page imports SHAP, and loads the version from the registry.
PAGE_SECONDS = 180.0
HEALTH = "/_stcore/health"


@pytest.fixture(scope="module")
def dashboard(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Container, str]]:
    """The dashboard on models of the tests, of a table and of a picture, and its address."""
    models = SmallModels(tmp_path_factory.mktemp("explained"), ["loans"])
    add_explained_models(models)
    # Containers read it as another user.
    for folder in (models.folder, *models.folder.parents[:3]):
        folder.chmod(0o755)
    registry, port = free_port(), free_port()
    registry_address = f"http://{home.LOOPBACK}:{registry}"
    settings = {"MLFLOW_TRACKING_URI": registry_address, "SLIPWAY_EXPLAIN_PORT": port}
    volume = f"{models.folder}:{models.folder}:ro"
    with (
        running(
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", models.uri),
            *("--workers", "1", "--port", registry),
            env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            log=models.folder / "mlflow.log",
            ready=f"{registry_address}/health",
        ),
        container(
            *("explain", "--volume", volume, *trusting()),
            environment=settings | {"HOME": "/tmp"},
        ) as started,
    ):
        address = f"http://{home.LOOPBACK}:{port}"
        wait_until(lambda: responds(address + HEALTH), 120, details=lambda: started.log)
        yield started, address


def wait_for(tab: Tab, script: str) -> None:
    until(lambda: tab.run(f"Boolean({script})"), lambda: tab.text(), seconds=PAGE_SECONDS)


def test_it_explains_the_predictions_of_a_model(
    dashboard: tuple[Container, str], browser: Browser
) -> None:
    _, address = dashboard
    with browser.tab() as tab:
        tab.open(f"{address}/?project=loans&page=What+matters")
        wait_for(tab, "document.querySelectorAll('[data-testid=stImage] img').length === 2")
        text = tab.text()
        assert "loans v1" in text
        assert "SHAP summary" in text
        assert "How much each field changes the prediction" in text
        tab.open(f"{address}/?project=loans&page=One+prediction")
        wait_for(tab, "document.querySelectorAll('[data-testid=stImage] img').length === 2")
        assert "The linear model has an R2 of" in tab.text()


def test_it_explains_a_picture_by_its_parts(
    dashboard: tuple[Container, str], browser: Browser
) -> None:
    with browser.tab() as tab:
        tab.open(f"{dashboard[1]}/?project=lamp&page=One+prediction")
        wait_for(tab, "document.querySelectorAll('[data-testid=stImage] img').length === 2")
        assert "The cell in row 3 of 7, column 5 of 7" in tab.text()


def test_it_is_healthy_and_confined(dashboard: tuple[Container, str]) -> None:
    it = dashboard[0]
    wait_until(lambda: it.health == "healthy", 90, details=lambda: it.log)
    assert it.run("id", "-u").stdout.strip() == "10001"
    assert "Read-only file system" in it.run("touch", "/app/mine").stderr


@pytest.mark.parametrize("package", ["torch", "dvc", "xgboost", "pip", "pytest"])
def test_what_trains_and_installs_is_not_in_it(package: str) -> None:
    command = ["docker", "run", "--rm", "--network", "none", image("explain")]
    done = subprocess.run([*command, "python", "-c", f"import {package}"], capture_output=True)
    assert done.returncode == 1
    assert b"ModuleNotFoundError" in done.stderr


@pytest.fixture(scope="module")
def compose() -> Iterator[tuple[Stack, int]]:
    """The compose service with what it depends on, in a project of its own; and its port."""
    stack = Stack(ROOT, free_port(), free_port(), "slipway-test-explain")
    port = free_port()
    settings = {"SLIPWAY_EXPLAIN_PORT": str(port)}
    profile = ("--profile", "explain")
    stack.down()
    try:
        stack.compose(*profile, "build", "--quiet", "prepare", "mlflow", "explain", seconds=2400)
        stack.compose(*profile, "up", "--detach", "explain", settings=settings)
        yield stack, port
    finally:
        stack.down()


def test_compose_publishes_it_on_loopback_before_an_empty_registry(
    compose: tuple[Stack, int], browser: Browser
) -> None:
    """Its page names the registry, so it has reached MLflow through the containers' network."""
    stack, port = compose
    address = f"http://{home.LOOPBACK}:{port}"
    wait_until(
        lambda: request_status(address, HEALTH) == 200, 120, details=lambda: stack.log("explain")
    )
    [started] = stack.containers("explain")
    [bindings] = started["NetworkSettings"]["Ports"].values()
    assert {each["HostIp"] for each in bindings} == {home.LOOPBACK}
    with browser.tab() as tab:
        tab.open(address)
        wait_for(tab, "document.body.innerText.includes('The registry has no model yet')")


def test_compose_confines_it_and_keeps_it_from_what_it_does_not_need(
    compose: tuple[Stack, int],
) -> None:
    stack, _ = compose
    [started] = stack.containers("explain")
    host = started["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    volumes = [each for each in started["Mounts"] if each["Type"] == "volume"]
    places = {each["Destination"] for each in volumes}
    assert places == {"/run/slipway/keyring", "/run/slipway/registry-read"}
    assert not any(each["RW"] for each in volumes)
    [database] = stack.containers("postgres")
    names = {each.split("_")[-1] for each in started["NetworkSettings"]["Networks"]}
    assert names == {"door", "registry"}
    assert "slipway-test-explain_database" in database["NetworkSettings"]["Networks"]
    assert inspected(image("explain"))["Config"]["User"] == "10001"
    rows = [line.split() for line in docker("top", started["Id"], "-o", "pid,uid").splitlines()]
    assert {uid for _, uid in rows[1:]} == {"10001"}
