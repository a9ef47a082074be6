"""The model server's processes load what they need, and no more."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, mlflow_server
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.waiting import until

# What each takes in a process that imports it, on an AMD EPYC.
HEAVY = {
    "mlflow": "1.2 s and 115 MiB; a registry over HTTP is read without it",
    "pandas": "0.4 s and 35 MiB; only tables that are scored as files need it",
    "polars": "0.1 s and 14 MiB; only tables that are scored as files need it",
    "pyarrow": "0.15 s and 10 MiB; needed from the first closed segment of the log on",
    "sklearn": "0.8 s and 50 MiB; served models are ONNX graphs",
    "scipy": "0.1 s and 10 MiB; only comparisons of versions need it",
    "sqlalchemy": "0.2 s and 15 MiB; the registry's database belongs to MLflow",
    "feast": "4 s and 150 MiB; features are looked up only for models that declare it",
    "grpc": "0.1 s and 10 MiB; off unless `grpc_port` or `triton` is set",
    "bentoml": "0.4 s and 25 MiB; only `bentoml serve` needs it",
    "requests": "0.1 s and 8 MiB; the registry is read with the standard library",
    "torch": "1.4 s and 150 MiB; no serving environment has it",
    "evidently": "3.6 s and 200 MiB; the monitor's reports are made by the monitor",
}
MODULES = {
    "supervisor": "services.predict.supervisor",
    "registry sync": "services.predict.registry_sync",
    "worker": "services.predict.worker, services.predict.app",
    "model process": "services.predict.model_process",
}


def imported(statement: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has after the statement."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("process", MODULES)
def test_a_process_imports_no_heavy_package(process: str) -> None:
    found = imported(f"import {MODULES[process]}")
    assert {name: HEAVY[name] for name in HEAVY if name in found} == {}


def test_the_supervisor_imports_no_arrays() -> None:
    """It only starts processes: NumPy and FastAPI are 15 MiB and 0.2 s of the server's start."""
    assert not {"numpy", "fastapi", "PIL", "uvicorn"} & imported(f"import {MODULES['supervisor']}")


def loaded_packages(process: psutil.Process) -> set[str]:
    """Return the packages of which a running process has mapped an extension module."""
    places = (Path(each.path).parts for each in process.memory_maps())
    return {parts[parts.index("site-packages") + 1] for parts in places if "site-packages" in parts}


def registry_sync(server: Server) -> psutil.Process:
    (found,) = (
        each
        for each in server.process.children()
        if "services.predict.registry_sync" in each.cmdline()
    )
    return found


def test_a_running_server_loads_no_heavy_package(tmp_path: Path) -> None:
    """Nor does it keep the fork server of its try-outs, which takes 47 MiB."""
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("one"))
    database = registry.uri
    with mlflow_server(database, tmp_path / "mlflow.log") as address:
        registry.uri = address
        with registry.serving() as server:
            assert server.predict("model")["version"] == "1"
            until(lambda: registry_sync(server).children() == [])
            # The fork server starts again for the next version, and ends again.
            registry.add("model", echo("two"))
            until(lambda: server.predict("model")["version"] == "2")
            until(lambda: registry_sync(server).children() == [])
            running = [server.process, *server.process.children()]
            assert len(running) == 3
            for each in running:
                assert not loaded_packages(each) & HEAVY.keys(), each.cmdline()
