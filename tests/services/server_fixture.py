"""A small repository with projects that train in seconds, and trainers over it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from slipway import home
from slipway.dependencies.dvcfile import dvc_yaml
from slipway.home import free_port
from slipway.project import Project
from tests.conftest import ROOT, running
from tests.services.fake_models import empty_database

COPIED = (
    *("pyproject.toml", ".gitignore", ".dvcignore", ".dvc/config", "slipway"),
    *("infra/environment/locks", "pipelines/datasets/iris.yaml"),
)

MODEL = '''\
"""Which species is this iris?

Data: 150 flowers of three species.
Task: classification.
Model: the nearest centre.
Limits: for tests of what trains it.
"""

import json
from pathlib import Path

from pydantic import Field

from slipway.contract import Model, Record, publish

SPECIES = ("setosa", "versicolor", "virginica")


class Flower(Record):
    """Lengths in centimetres."""

    sepal_length: float = Field(gt=0, le=20)
    petal_length: float = Field(gt=0, le=20)


class Kind(Record):
    """The likeliest species."""

    species: str = Field(pattern="^(setosa|versicolor|virginica)$")
    distance: float = Field(ge=0)
    rare: str = "no"


def nearest(centres: dict[str, list[float]], flower: Flower) -> Kind:
    place = (flower.sepal_length, flower.petal_length)
    far = {name: sum((a - b) ** 2 for a, b in zip(place, at)) for name, at in centres.items()}
    best = min(far, key=lambda name: far[name])
    return Kind(species=best, distance=far[best])


class Nearest(Model):
    def load(self, weights: Path) -> None:
        self.centres = json.loads((weights / "centres.json").read_text())

    def predict(self, model_input: list[Flower]) -> list[Kind]:
        return [nearest(self.centres, flower) for flower in model_input]


publish(Nearest())
'''

DATA = '''\
"""Every fifth flower is a test row."""

import csv
from collections.abc import Iterable

from slipway.datasets import Dataset

from .model import SPECIES, Flower

Rows = Iterable[tuple[Flower, str]]


def splits(dataset: Dataset, *, every: int) -> dict[str, Rows]:
    with dataset.path("iris.csv").open() as stream:
        lines = list(csv.reader(stream))[1:]
    rows = [
        (Flower(sepal_length=float(line[0]), petal_length=float(line[2])), SPECIES[int(line[4])])
        for line in lines
    ]
    test = rows[::every]
    return {"train": [row for place, row in enumerate(rows) if place % every], "test": test}
'''

TRAIN = '''\
"""The centre of each species; `spoiled` puts all of them to one place, `seconds` takes longer."""

import json
import time
from pathlib import Path

from slipway.training import Candidate, LabelledRows, Fitted

from .model import SPECIES, Flower, nearest


def fit(
    *, train: LabelledRows[Flower, str], weights: Path, seconds: float, spoiled: bool, power: int
) -> Fitted:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        print("fitting", flush=True)
        time.sleep(0.1)
    centres = {}
    for name in SPECIES:
        own = [flower for flower, species in train if species == name]
        lengths = [[each.sepal_length, each.petal_length] for each in own]
        centres[name] = [sum(column) / len(own) for column in zip(*lengths)]
    if spoiled:
        centres = dict.fromkeys(SPECIES, [1.0, 1.0])
    (weights / "centres.json").write_text(json.dumps(centres))
    tried = [Candidate("baseline", {"accuracy": 0.3}), Candidate("centres", {"accuracy": 0.9})]
    return Fitted(tried, "centres", lambda flowers: [nearest(centres, each) for each in flowers])
'''

REPORT = '''\
"""The share of test flowers whose species is recognized; nothing is drawn."""

from collections.abc import Iterator
from typing import Any

from slipway.reporting import Evaluation


def score(*, predictions: list[Any], labels: list[str]) -> dict[str, float]:
    right = sum(each.species == label for each, label in zip(predictions, labels))
    return {"accuracy": right / len(labels)}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Any]]:
    return iter(())
'''

PARAMS = """\
dataset: iris
environment: training
prepare: {every: 5}
fit: {seconds: 0.0, spoiled: false, power: 1}
primary: accuracy
gate:
  accuracy: ">= 0.8"
"""


class TrainingRepository:
    """The repository in `folder`, and a home without runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.folder.mkdir(parents=True)
        listed = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *COPIED)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        for name in ("flowers", "petals"):
            self.add(name)
        self.git("init", "--quiet", "-b", "main")
        self.git("add", "--all")
        author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        self.git(*author, "commit", "--quiet", "-m", "a repository")

    def add(self, name: str) -> None:
        place = self.folder / "pipelines" / "ml" / name
        place.mkdir(parents=True)
        (place / "model.py").write_text(MODEL)
        (place / "data.py").write_text(DATA)
        (place / "train.py").write_text(TRAIN)
        (place / "params.yaml").write_text(PARAMS)
        (place / "report.py").write_text(REPORT)
        (place / "dvc.yaml").write_text(dvc_yaml(Project(place)))

    def git(self, *words: str) -> str:
        return _git(self.folder, *words)

    @property
    def dirt(self) -> str:
        """The files that git sees as changed."""
        return self.git("status", "--porcelain")

    def home(self, name: str) -> Path:
        """A home with an empty registry."""
        place = self.folder.parent / name
        place.mkdir()
        shutil.copy(empty_database(), place / "mlflow.db")
        return place

    def variables(self, own_home: Path, port: int, **settings: object) -> dict[str, str]:
        variables = {
            f"SLIPWAY_TRAINER_{key.upper()}": str(value) for key, value in settings.items()
        }
        return {
            "SLIPWAY_HOME": str(own_home),
            # MLflow names the registry that a test before this used to every process it starts.
            "MLFLOW_TRACKING_URI": f"sqlite:///{own_home / 'mlflow.db'}",
            "SLIPWAY_TRAINER_PORT": str(port),
            "SLIPWAY_TRAINER_END_SECONDS": "2",
            # Alerts start runs in these tests although nobody sends labels.
            "SLIPWAY_TRAINER_WAIT_FOR_LABELS": "false",
            "PYTHONPATH": str(ROOT),
            **variables,
        }

    def command(
        self, own_home: Path, port: int, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """A trainer that is expected to end by itself."""
        return subprocess.run(
            [sys.executable, "-m", "services.trainer"],
            cwd=self.folder,
            env={**os.environ, **self.variables(own_home, port, **settings)},
            capture_output=True,
            text=True,
            timeout=600,
        )

    @contextmanager
    def trainer(self, own_home: Path, **settings: object) -> Iterator["Client"]:
        """`python -m services.trainer` over the repository, until the block ends."""
        port = free_port()
        address = f"http://{home.LOOPBACK}:{port}"
        with (
            running(
                *(sys.executable, "-m", "services.trainer"),
                env=self.variables(own_home, port, **settings),
                log=own_home / f"trainer-{port}.log",
                ready=f"{address}/v1/ready",
                folder=self.folder,
            ) as process,
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            yield Client(client, process)


class Client:
    def __init__(self, http: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
        self.http, self.process = http, process

    def start(self, project: str = "flowers", **wanted: object) -> str:
        body = {"project": project, "reason": "a test", **wanted}
        answer = self.http.post("/v1/runs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def run(self, id: str) -> dict:
        return self.http.get(f"/v1/runs/{id}").json()

    def log(self, id: str) -> str:
        return self.http.get(f"/v1/runs/{id}/logs").text

    def followed(self, id: str) -> dict:
        """The run when it has ended, having read its log to the end."""
        with self.http.stream("GET", f"/v1/runs/{id}/logs?follow=true", timeout=120) as answer:
            answer.read()
        return self.run(id)

    def metric(self, line: str) -> float:
        """The one sample whose name and labels are `line`."""
        for row in self.http.get("/metrics").text.splitlines():
            name, _, value = row.rpartition(" ")
            if name == line:
                return float(value)
        raise AssertionError(f"no sample {line}")

    def kill(self, *, runs: bool = False) -> None:
        """Without a warning; with `runs` all that it started too, as when its machine dies."""
        family = psutil.Process(self.process.pid).children(recursive=True) if runs else []
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True
    )
    return done.stdout
