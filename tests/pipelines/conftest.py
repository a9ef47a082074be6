"""Fixtures that train a project on few rows once per run, and register and serve it once."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from slipway import home
from slipway.project import Project
from slipway.training.workspace import Workspace
from tests.browser import Browser, Tab
from tests.clients.generated_client import GeneratedClient, generate, importable
from tests.conftest import PROJECTS, ROOT, mlflow_server, serving_alone
from tests.services.fake_models import empty_database
from tests.services.predict.openapi_documents import build, described
from tests.waiting import until
from tests.workspaces import linked


@pytest.fixture(scope="session")
def trained_project(
    own_home: Path,
    tiny_project: Callable[[Project], Workspace],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Project], Workspace]:
    """Return a project's workspace, trained tiny and registered in this process's registry."""
    works: dict[str, Workspace] = {}

    def get(project: Project) -> Workspace:
        if project.name not in works:
            from slipway.registry.signed import register

            if not (own_home / "mlflow.db").exists():
                shutil.copy(empty_database(), own_home / "mlflow.db")
            folder = tmp_path_factory.mktemp(project.name)
            works[project.name] = linked(tiny_project(project), folder)
            register(works[project.name])
        return works[project.name]

    return get


IMPORT_EACH = """
import importlib, importlib.util, json, sys, traceback
for name in ("torch", "sklearn", "dvc", "matplotlib"):
    assert importlib.util.find_spec(name) is None, name
from slipway.contract.model import published_by
found = {}
for name, module in (each.split("=") for each in sys.argv[1:]):
    try:
        importlib.import_module(module)
        found[name] = published_by(module).input_type().__name__
    except Exception:
        found[name] = traceback.format_exc()
print(json.dumps(found))
"""


@pytest.fixture(scope="session")
def imported_alone(serving_python: Path, media_python: Path) -> dict[str, str]:
    """Return the record type of each project's model, imported with serving packages alone.

    A model that cannot be imported has the traceback instead. One process imports all that need
    the same packages: a process for each of 47 took 42 CPU seconds.
    """
    found: dict[str, str] = {}
    for python, is_media in ((serving_python, False), (media_python, True)):
        names = [
            f"{each.name}=pipelines.{each.track}.{each.name}.model"
            for each in PROJECTS
            if bool(each.params.requires) == is_media
        ]
        done = subprocess.run(
            [python, "-c", IMPORT_EACH, *names],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def project_grpc_port() -> int:
    """Return the gRPC port of the model server that `registry_server` starts."""
    return home.free_port()


@pytest.fixture(scope="package")
def registry_server(
    own_home: Path,
    media_python: Path,
    project_grpc_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """Yield a client of a model server over this process's registry, with serving packages alone.

    They are those of all serving groups, since it serves every project.

    The server follows the registry, so a project is served shortly after it is registered.
    """
    if not (own_home / "mlflow.db").exists():
        shutil.copy(empty_database(), own_home / "mlflow.db")
    logs = tmp_path_factory.mktemp("logs")
    with (
        mlflow_server(f"sqlite:///{own_home / 'mlflow.db'}", logs / "mlflow.log") as mlflow,
        serving_alone(
            *(media_python, mlflow, logs / "predict.log"),
            # The registry is empty until the first project is trained.
            ready="live",
            workers=1,
            grpc_port=project_grpc_port,
            # A look at the registry every 0.3 s took 1.6 CPU seconds a minute, in each process.
            reload_seconds=1,
        ) as client,
    ):
        yield client


@pytest.fixture
def project_server(
    project: Project,
    trained_project: Callable[[Project], Workspace],
    request: pytest.FixtureRequest,
) -> httpx.Client:
    """Return the client of this process's model server, once it serves the project."""
    # Before the server starts, which is not ready without a model.
    trained_project(project)
    registry_server: httpx.Client = request.getfixturevalue("registry_server")
    # Its first model is served over HTTP before the gRPC port is open; then it is ready.
    places = (f"/v1/models/{project.name}", "/v1/ready")
    until(
        lambda: all(registry_server.get(place).status_code == 200 for place in places),
        lambda: registry_server.get("/v1/models").text,
    )
    return registry_server


@pytest.fixture(scope="session")
def project_tab(browser: Browser) -> Iterator[Tab]:
    """Yield one tab of the browser for all projects: a tab for each would start a process more."""
    with browser.tab() as tab:
        yield tab


@pytest.fixture(scope="session")
def generated_client(shared: Path) -> Iterator[GeneratedClient]:
    """Yield the client of a server that serves all projects, generated once per run."""
    folder = shared / "projects_client"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            generate(build(*map(described, PROJECTS)), folder, shared)
    with importable(folder) as client:
        yield client
