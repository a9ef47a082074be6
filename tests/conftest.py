"""What the tests share: an own home, every project trained tiny, and the real server over them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from slipway import home
from slipway.project import Project, discover
from tests.waiting import PATIENCE, until

home.silence_telemetry()
home.rest_threads()
# Spark here lives for seconds: without the second compiler it takes half the processor's time.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
ROOT = Path(__file__).resolve().parents[1]
PROJECTS = discover(ROOT)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test touches the registry, the servers or the promotion log of this checkout."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def trained(own_home: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Every project, trained on few rows through all four stages: workspaces by name.

    Each process of the tests has copies of its own, registered in its own home.
    """
    from slipway.registry.register import register
    from slipway.training.workspace import Workspace

    # Processes that begin at different projects train different ones meanwhile.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = worker * len(PROJECTS) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for project in (*PROJECTS[first:], *PROJECTS[:first]):
        _train_once(project, shared / "trained" / project.name)
    spaces = {}
    for project in PROJECTS:
        folder = tmp_path_factory.mktemp(project.name)
        shutil.copytree(shared / "trained" / project.name, folder, dirs_exist_ok=True)
        register(work := Workspace.tiny(project, folder))
        spaces[project.name] = work
    return spaces


def _train_once(project: Project, folder: Path) -> None:
    from slipway.training import stages
    from slipway.training.workspace import Workspace

    done = folder.with_name(f"{project.name}.done")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{project.name}.lock")):
        if not done.exists():
            for stage in (stages.prepare, stages.fit, stages.evaluate):
                stage(Workspace.tiny(project, folder))
            done.touch()


@pytest.fixture(scope="session")
def serving_python(shared: Path) -> Path:
    """A Python that has the serving lock installed and nothing else."""
    venv = shared / "serving" / "venv"
    script = ROOT / "infra" / "environment" / "environment.py"
    # The interpreter that made this environment: a venv made from a venv would still find it.
    python = Path(sys.base_prefix) / "bin" / "python3.11"
    command = [python, script, "install", "--group", "serving", "--into", venv]
    venv.parent.mkdir(exist_ok=True)
    with FileLock(shared / "serving.lock"):
        subprocess.run(command, check=True, cwd=ROOT)
    return venv / "bin" / "python"


@cache
def grpc_port() -> int:
    """Of the model server that the `server` fixture starts."""
    return home.free_port()


def files_of_checkout(*places: str) -> list[str]:
    """The committed and uncommitted files of this checkout, nothing that git ignores.

    `places` are folders, files and patterns of it; all, if none is given.
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
    """Those files, at their places in `folder`."""
    for name in files_of_checkout(*places):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


@contextmanager
def running(
    *command: object, env: dict[str, str], log: Path, ready: str, folder: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the background, from when it answers until the block ends."""
    import psutil

    from slipway.platform import answers, stop

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
                raise AssertionError(f"{command} did not come up:\n{log.read_text()[-3000:]}")
            # Not with httpx.get, which reads all certificates again, 37 ms each time.
            if answers(ready):
                break
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            stop(psutil.Process(process.pid))
        process.wait(PATIENCE)


@pytest.fixture(scope="session")
def server(
    trained: dict, serving_python: Path, own_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The model server with serving packages alone, asking a real MLflow server."""
    logs = tmp_path_factory.mktemp("logs")
    mlflow, predict = (f"http://{home.LOOPBACK}:{home.free_port()}" for _ in range(2))
    database = f"sqlite:///{own_home / 'mlflow.db'}"
    with (
        running(
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database),
            *("--workers", "1", "--port", mlflow.rpartition(":")[2]),
            env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            log=logs / "mlflow.log",
            ready=f"{mlflow}/health",
        ),
        running(
            *(serving_python, "-m", "services.predict"),
            env={
                "MLFLOW_TRACKING_URI": mlflow,
                "PYTHONPATH": str(ROOT),
                "SLIPWAY_PREDICT_PORT": predict.rpartition(":")[2],
                "SLIPWAY_PREDICT_WORKERS": "2",
                "SLIPWAY_PREDICT_GRPC_PORT": str(grpc_port()),
                "SLIPWAY_PREDICT_RELOAD_SECONDS": "0.3",
                "SLIPWAY_PREDICT_BODY_BYTES": "3000000",
            },
            log=logs / "predict.log",
            ready=f"{predict}/v1/ready",
        ),
        httpx.Client(base_url=predict, timeout=30) as client,
    ):
        until(lambda: _all_ready(predict), lambda: client.get("/v1/models").text)
        yield client


def _all_ready(address: str) -> bool:
    """Each worker answers for itself: of 20 connections some come to every one of them."""
    with httpx.Client(base_url=address, timeout=30, headers={"Connection": "close"}) as client:
        told = [client.get("/v1/ready").json() for _ in range(20)]
    return all(each.get("models") == len(PROJECTS) for each in told)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The newcomer's walk takes longest: begun last, it would go on when all else has ended."""
    items.sort(key=lambda item: item.path.name != "test_newcomer.py")


def by_name(project: Project) -> str:
    return project.name
