"""Fake models with any behaviour, a model registry of their own, and model servers on it."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from textwrap import dedent

import httpx
import psutil
from filelock import FileLock

from slipway import home
from slipway.contract.shipped import Shipped
from slipway.home import free_port
from slipway.registry import signatures
from slipway.registry.digest import digest
from slipway.training.workspace import Workspace
from tests.conftest import running, shared_folder

HEAD = '''
"""A model that a test defines."""

from pydantic import Field

from slipway.contract import Model, Record, publish


class Question(Record):
    number: float = Field(ge=-1000, le=1000)
    who: str | None = None


class Answer(Record):
    number: float
    model: str


class FakeModel(Model):
    def predict(self, model_input: list[Question]) -> list[Answer]:
'''
TAIL = """

publish(FakeModel())
"""


def code(body: str) -> str:
    """Return a model.py whose `predict` has this body; it may use `model_input`."""
    lines = dedent(body).strip().splitlines()
    return HEAD + "\n".join(f"        {line}" for line in lines) + TAIL


def echo(name: str) -> str:
    """Return a model.py that predicts the number of its input."""
    return code(f"return [Answer(number=each.number, model={name!r}) for each in model_input]")


@cache
def empty_database() -> Path:
    """Return an empty MLflow database, to copy.

    All processes of a test run share it: MLflow needs 8 s of processor time to create its tables.
    """
    folder = shared_folder()
    file, done = folder / "mlflow.db", folder / "mlflow.done"
    with FileLock(folder / "mlflow.lock"):
        if not done.exists():
            home.silence_telemetry()
            from mlflow import MlflowClient

            MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}").search_registered_models()
            done.touch()
    return file


class ModelRegistryFixture:
    """A model registry in `folder`, without an MLflow server, and model servers that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.uri = f"sqlite:///{self.home / 'mlflow.db'}"
        shutil.copy(empty_database(), self.home / "mlflow.db")

    @cached_property
    def client(self):
        home.silence_telemetry()
        from mlflow import MlflowClient

        return MlflowClient(self.uri, self.uri)

    def add(
        self,
        name: str,
        model: str,
        *,
        alias: str | None = "champion",
        weights=None,
        example=None,
        serving: str = "",
    ) -> str:
        """Register a model.py and return its version.

        `weights` are files by name, `serving` is the content of serving.json.
        """
        place = self.folder / "versions" / f"{name}-{time.monotonic_ns()}"
        shipped = Shipped(place)
        for folder in (shipped.weights, shipped.about):
            folder.mkdir(parents=True)
        shipped.code.write_text(model)
        for file, content in (weights or {}).items():
            (shipped.weights / file).write_bytes(content)
        example = example or {
            "input": {"number": 1.0},
            "output": {"number": 1.0, "model": name},
        }
        (shipped.about / "card.md").write_text(f"# {name}\n\n**Is it {name}?**\n")
        (shipped.about / "metrics.json").write_text('{"metrics": {"accuracy": 0.9}}')
        (shipped.about / "examples.json").write_text(json.dumps([example]))
        if serving:
            (shipped.about / "serving.json").write_text(serving)
        return self.register(name, shipped, alias=alias)

    def register(self, name: str, shipped: Shipped, *, alias: str | None = "champion") -> str:
        """Register what lies in the folder as a version and return it."""
        from mlflow.exceptions import MlflowException

        registry = self.client
        with suppress(MlflowException):  # it exists
            registry.create_registered_model(name)
        found = digest(shipped.parts)
        tags = {"digest": found, signatures.TAG: signatures.sign(name, found)}
        version = registry.create_model_version(name, str(shipped.folder), tags=tags)
        if alias:
            registry.set_registered_model_alias(name, alias, version.version)
        return str(version.version)

    def artifact(self, name: str, version: str) -> Path:
        return Path(self.client.get_model_version(name, version).source)

    def variables(self, **settings: object) -> dict[str, str]:
        given = {f"SLIPWAY_PREDICT_{key.upper()}": str(value) for key, value in settings.items()}
        return {
            "SLIPWAY_HOME": str(self.home),
            "MLFLOW_TRACKING_URI": self.uri,
            "SLIPWAY_PREDICT_RELOAD_SECONDS": "0.3",
            **given,
        }

    @contextmanager
    def serving(
        self,
        *,
        ready: bool = True,
        host: str = home.LOOPBACK,
        port: int | None = None,
        **settings: object,
    ) -> Iterator["Server"]:
        """Run `python -m services.predict` on the registry until the block ends.

        On a host other than loopback it is a replica with its own home folder, as in a container.
        """
        port = port or free_port()
        address = f"http://{host}:{port}"
        variables = {**self.variables(host=host, **settings), "SLIPWAY_PREDICT_PORT": str(port)}
        if host != home.LOOPBACK:
            variables["SLIPWAY_HOME"] = str(self.folder / f"home-{host}")
        log = self.folder / f"predict-{host}-{port}.log"
        with (
            running(
                *(sys.executable, "-m", "services.predict"),
                env=variables,
                log=log,
                ready=f"{address}/v1/{'ready' if ready else 'live'}",
            ) as process,
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            yield Server(client, address, log, process)


class Server:
    """A running model server."""

    def __init__(self, client: httpx.Client, address: str, log: Path, process) -> None:
        self.client, self.address, self.log = client, address, log
        self.process = psutil.Process(process.pid)

    def request(self, name: str, number: float = 1.0, **more) -> httpx.Response:
        return self.client.post(f"/v1/models/{name}/predict", json={"number": number}, **more)

    def predict(self, name: str, number: float = 1.0, **more) -> dict:
        response = self.request(name, number, **more)
        assert response.status_code == 200, response.text
        return response.json()

    def workers(self) -> list[psutil.Process]:
        workers = []
        for child in self.process.children():
            with suppress(psutil.Error):  # it ended just now
                if "services.predict.worker" in child.cmdline():
                    workers.append(child)
        return workers

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def metrics(self) -> str:
        """Return the metrics, from another worker if the one with the connection was killed."""
        try:
            return self.client.get("/metrics").text
        except httpx.TransportError:
            return self.client.get("/metrics").text

    def metric(self, line: str) -> float:
        """Return the sum of the samples whose name and labels contain every word of `line`."""
        words = line.split()
        total = 0.0
        for row in self.metrics().splitlines():
            name, _, value = row.rpartition(" ")
            if name.startswith(words[0]) and all(word in name for word in words[1:]):
                total += float(value)
        return total


def shipped_of(work: Workspace, folder: Path) -> Shipped:
    """Lay out in `folder` what a trained project ships; the weights are hard links."""
    shipped = Shipped(folder)
    shipped.about.mkdir(parents=True)
    shutil.copy(work.project.folder / "model.py", shipped.code)
    shutil.copytree(work.weights, shipped.weights, copy_function=os.link)
    (shipped.about / "card.md").write_text(f"# {work.project.name}\n\n**Is it?**\n")
    shutil.copy(work.metrics, shipped.about / "metrics.json")
    shutil.copy(work.examples, shipped.about / "examples.json")
    return shipped


def emptied(folder: Path) -> Path:
    """Create the folder, or empty it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


__all__ = ["ModelRegistryFixture", "Server", "code", "echo", "emptied", "shipped_of", "signal"]
