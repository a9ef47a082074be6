"""Shared fixtures: a separate home, small models, and the real server."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from filelock import FileLock

from slipway import home
from slipway.project import Project, discover
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from slipway.training.workspace import Workspace
    from tests.browser import Browser
    from tests.small_models import SmallModels

home.silence_telemetry()
home.rest_threads()
# A shell without job control starts background jobs with SIGINT ignored, which child processes
# inherit, and tests interrupt commands.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
pytest_plugins = ["tests.cpu_times", "tests.selection", "tests.groups", "tests.by_change"]
ROOT = Path(__file__).resolve().parents[1]
PROJECTS = discover(ROOT)
SHARED = "SLIPWAY_TESTS_SHARED"


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use a separate home, so that no test touches this checkout's registry, servers or logs."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        common = _common(tmp_path_factory)
        patch.setenv(SHARED, str(common))
        patch.setenv("SLIPWAY_HOME", str(folder))
        patch.setenv("SLIPWAY_SIGNING_KEY", str(_signing_key(common)))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this test run share."""
    return _common(tmp_path_factory)


def _common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _signing_key(common: Path) -> Path:
    """Make the key that signs the versions of all tests, whose servers have homes of their own."""
    from slipway.registry.signatures import make_key

    key = common / "signing-key"
    with FileLock(common / "signing-key.lock"):
        make_key(key, common / "trusted-keys")
    return key


def shared_folder() -> Path:
    """Return the folder `shared`, for helpers that are not fixtures."""
    return Path(os.environ[SHARED])


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Run one Chromium for all tests of this process."""
    from slipway.programs.debian import ProgramUnavailable, binary
    from tests.browser import chromium

    try:
        program = binary("chromium")
    except ProgramUnavailable as fault:
        pytest.skip(f"no Chromium on this machine: {fault}")
    with chromium(program) as running:
        yield running


@pytest.fixture(scope="session")
def small_models(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> "SmallModels":
    """Register the tests' own small models: two seconds, once per test process.

    A test that changes the registry's aliases or files must restore them.
    """
    from tests.small_models import SmallModels

    return SmallModels(tmp_path_factory.mktemp("small_models"))


@pytest.fixture
def small_registry(small_models: "SmallModels") -> Iterator["SmallModels"]:
    """Activate the small models' registry and repository in this process."""
    with small_models.active():
        yield small_models


def train_once(project: Project, folder: Path) -> "Workspace":
    """Train the project on few rows in `folder`, unless a process of this run already has."""
    from slipway.training.workspace import Workspace

    work = Workspace.tiny(project, folder)
    done = folder.with_name(f"{project.name}.done")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{project.name}.lock")):
        if not done.exists():
            from slipway.stages.evaluate import evaluate
            from slipway.stages.fit import fit
            from slipway.stages.prepare import prepare

            for stage in (prepare, fit, evaluate):
                stage(work)
            done.touch()
    return work


@pytest.fixture(scope="session")
def tiny_project(shared: Path) -> Callable[[Project], "Workspace"]:
    """Return the workspace of a project trained on few rows, once per run: only read it."""
    return lambda project: train_once(project, shared / "trained" / project.name)


@pytest.fixture(scope="session")
def serving_python(shared: Path) -> Path:
    """Return a Python with only the serving lock installed."""
    return install_group("serving", shared)


@pytest.fixture(scope="session")
def features_python(shared: Path) -> Path:
    """Return a Python with the serving packages, and those for looking up features."""
    return install_group("features", shared, "--uncompiled")


@pytest.fixture(scope="session")
def media_python(shared: Path) -> Path:
    """Return a Python with the serving packages, and those of all serving groups.

    Its bytecode is written when a file is imported first, which saves 12 CPU seconds of
    compiling what no test imports. `serving_python` is compiled ahead, like an image.
    """
    return install_group("media", shared, "--uncompiled")


def install_group(group: str, shared: Path, *options: str) -> Path:
    """Install a lock once per run, into an environment of its own; return its Python."""
    venv = shared / group / "venv"
    script = ROOT / "infra" / "environment" / "environment.py"
    # The base interpreter: a venv created from a venv would still find the outer one.
    python = Path(sys.base_prefix) / "bin" / "python3.11"
    command = [python, script, "install", "--group", group, "--into", venv, *options]
    venv.parent.mkdir(exist_ok=True)
    with FileLock(shared / f"{group}.lock"):
        subprocess.run(command, check=True, cwd=ROOT)
    return venv / "bin" / "python"


def files_of_checkout(*places: str) -> list[str]:
    """Return the committed and uncommitted files of this checkout, without ignored ones.

    `places` are folders, files and patterns; without any, all files are returned.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *places],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def copy_checkout(folder: Path, *places: str) -> None:
    """Copy those files to their paths in `folder`."""
    for name in files_of_checkout(*places):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


@contextmanager
def running(
    *command: object, env: dict[str, str], log: Path, ready: str, folder: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in the background, and yield it once it responds."""
    import psutil

    from infra.local.platform import responds, stop

    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **env},
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command} did not start:\n{log.read_text()[-3000:]}")
            # Not httpx.get, which reads all certificates again, in 37 ms each time.
            if responds(ready):
                break
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            stop(psutil.Process(process.pid))
        process.wait(PATIENCE)


@contextmanager
def mlflow_server(registry: str, log: Path) -> Iterator[str]:
    """Run MLflow's own server over a registry's database; yield its address."""
    address = f"http://{home.LOOPBACK}:{home.free_port()}"
    with running(
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", registry),
        *("--workers", "1", "--port", address.rpartition(":")[2]),
        env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        log=log,
        ready=f"{address}/health",
    ):
        yield address


@contextmanager
def serving_alone(
    python: Path, mlflow: str, log: Path, ready: str = "ready", **settings: object
) -> Iterator[httpx.Client]:
    """Run the model server with only the serving packages, over an MLflow server.

    `python` comes from the fixture `serving_python`, `mlflow` is an address; the settings are
    the model server's, by name. `ready="live"` does not wait for a model to be served.
    """
    address = f"http://{home.LOOPBACK}:{home.free_port()}"
    named = {f"SLIPWAY_PREDICT_{name.upper()}": str(value) for name, value in settings.items()}
    with (
        running(
            *(python, "-m", "services.predict"),
            env={
                "MLFLOW_TRACKING_URI": mlflow,
                "PYTHONPATH": str(ROOT),
                "SLIPWAY_PREDICT_PORT": address.rpartition(":")[2],
                "SLIPWAY_PREDICT_RELOAD_SECONDS": "0.3",
                **named,
            },
            log=log,
            ready=f"{address}/v1/{ready}",
        ),
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        yield client


def by_name(project: Project) -> str:
    return project.name
