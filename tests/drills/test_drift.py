"""The whole feedback loop: flowers grow, and their model is retrained and replaced automatically.

Model server, monitor and trainer run as on a machine without Prometheus; only the callers act.
"""

import csv
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from slipway import home
from slipway.datasets import fetch
from slipway.home import free_port
from slipway.registry import promotions
from tests.conftest import running
from tests.services.server_fixture import PARAMS, Client, TrainingRepository
from tests.waiting import until

# From the first grown flower to the new champion; 60 s on an idle machine.
WITHIN_SECONDS = 300.0
SPECIES = ("setosa", "versicolor", "virginica")
# A setosa with petals 2 cm longer is classified as versicolor.
GROWN = 2.0

PLAN = {
    "shadow": 0,
    "canary": [20, 50],
    "requests": 50,
    "labels": 20,
    "seconds": 2,
    "baseline_requests": 50,
    "interval_seconds": 0.5,
}
MONITOR = {
    "interval_seconds": 2,
    "windows": "count",
    "window_rows": 200,
    # The reference has 30 rows.
    "least_rows": 25,
    "maturity_seconds": 2,
}
TRAINER = {"rollout": "true", "cooldown_seconds": 0, "feedback_test_share": 0.3}


@dataclass
class FlowerCallers:
    """Callers who send flowers, and labels too once the flowers have grown."""

    address: str
    flowers: list[tuple[str, float, float]]
    """Species, sepal length and petal length."""
    grown: bool = False
    statuses: Counter[object] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    right: Counter[tuple[str, bool, bool]] = field(default_factory=Counter)
    """Counts by version, whether flowers had grown, and whether the prediction was right."""

    @contextmanager
    def calling(self) -> Iterator["FlowerCallers"]:
        stop = threading.Event()
        thread = threading.Thread(target=self._call, args=(stop,))
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive()

    def _call(self, stop: threading.Event) -> None:
        draw = random.Random(5)
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not stop.wait(0.02):
                grown = self.grown
                species, flower = self._flower(draw)
                response = client.post("/v1/models/flowers/predict", json=flower)
                self.statuses[response.status_code] += 1
                if response.status_code == 200:
                    body = response.json()
                    self.versions[body["version"]] += 1
                    is_right = body["predictions"][0]["species"] == species
                    self.right[body["version"], grown, is_right] += 1
                    if grown:
                        label = {"id": body["id"], "label": {"species": species}}
                        assert client.post("/v1/feedback", json=label).status_code < 300

    def _flower(self, draw: random.Random) -> tuple[str, dict[str, float]]:
        species, sepal, petal = draw.choice(self.flowers)
        sepal, petal = (length + draw.gauss(0, 0.02) for length in (sepal, petal))
        if self.grown and species == "setosa":
            petal += GROWN
        return species, {"sepal_length": round(sepal, 2), "petal_length": round(petal, 2)}

    @property
    def lost(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    def accuracy(self, version: str, *, grown: bool) -> float:
        right, wrong = (self.right[version, grown, each] for each in (True, False))
        return right / max(1, right + wrong)


def real_flowers() -> list[tuple[str, float, float]]:
    with fetch("iris").path("iris.csv").open() as stream:
        lines = list(csv.reader(stream))[1:]
    return [(SPECIES[int(line[4])], float(line[0]), float(line[2])) for line in lines]


class Loop:
    """One home with the three services."""

    def __init__(self, folder: Path) -> None:
        self.training_repository = TrainingRepository(folder)
        self.home = self.training_repository.home("loop")
        self.ports = {name: free_port() for name in ("predict", "monitor")}
        self.plan = folder / "plan.yaml"
        self.plan.write_text(yaml.safe_dump(PLAN))

    def address(self, name: str) -> str:
        return f"http://{home.LOOPBACK}:{self.ports[name]}"

    @contextmanager
    def service(self, name: str, **settings: object) -> Iterator[None]:
        variables = {f"SLIPWAY_{name.upper()}_{key.upper()}": str(v) for key, v in settings.items()}
        port = {f"SLIPWAY_{name.upper()}_PORT": str(self.ports[name])}
        with running(
            *(sys.executable, "-m", f"services.{name}"),
            env={
                "SLIPWAY_HOME": str(self.home),
                "MLFLOW_TRACKING_URI": f"sqlite:///{self.home / 'mlflow.db'}",
                **port,
                **variables,
            },
            log=self.home / f"{name}.log",
            ready=f"{self.address(name)}/v1/ready",
        ):
            yield

    @contextmanager
    def trainer(self) -> Iterator[Client]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLIPWAY_ROLLOUT_SERVERS", self.address("predict"))
            patch.setenv("SLIPWAY_ROLLOUT_PLAN", str(self.plan))
            with self.training_repository.trainer(self.home, **TRAINER) as client:
                yield client

    def slow_fit(self, seconds: float) -> None:
        """Slow down the fit, so that it can be killed half-way."""
        file = self.training_repository.folder / "pipelines" / "ml" / "flowers" / "params.yaml"
        file.write_text(PARAMS.replace("seconds: 0.0", f"seconds: {seconds}"))

    def first_champion(self) -> None:
        with self.training_repository.trainer(self.home) as client:
            run = client.followed(client.start())
            assert run["promotion"]["promoted"], client.log(run["id"])

    def history(self) -> list[dict]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLIPWAY_HOME", str(self.home))
            return promotions.history("flowers")

    def drift(self) -> dict:
        return httpx.get(f"{self.address('monitor')}/v1/projects/flowers/drift", timeout=60).json()


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    made = Loop(tmp_path)
    made.first_champion()
    return made


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "trainer killed half-way"])
def test_planted_drift_is_cured_by_itself(
    loop: Loop, killed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if killed:
        loop.slow_fit(8)
    with ExitStack() as stack:
        stack.enter_context(loop.service("predict", reload_seconds=0.3))
        trainer = stack.enter_context(loop.trainer())
        webhook = f"{trainer.http.base_url}/v1/alerts"
        stack.enter_context(loop.service("monitor", webhook=webhook, **MONITOR))
        callers = FlowerCallers(loop.address("predict"), real_flowers())
        stack.enter_context(callers.calling())

        # Flowers like those in training raise no alarm.
        until(lambda: callers.versions["1"] > 300)
        time.sleep(3 * MONITOR["interval_seconds"])
        assert trainer.http.get("/v1/decisions").json()["found"] == 0
        assert callers.accuracy("1", grown=False) > 0.85

        grown = time.monotonic()
        callers.grown = True
        until(lambda: trainer.http.get("/v1/runs?project=flowers").json()["found"] > 1)
        alarmed = time.monotonic()
        if killed:
            trainer = killed_half_way(loop, stack, trainer)
        until(
            lambda: loop.history()[-1]["promoted"] and len(loop.history()) > 1,
            seconds=WITHIN_SECONDS,
        )
        until(lambda: callers.versions["2"] > 200)
        cured = time.monotonic()
        [run] = [
            each
            for each in trainer.http.get("/v1/runs?project=flowers").json()["runs"]
            if each["version"] == "2"
        ]
    assert callers.lost == 0, callers.statuses
    before, after = (callers.accuracy(each, grown=True) for each in ("1", "2"))
    assert after > before

    assert run["trigger"] == "alert"
    assert run["feedback"]["counts"]["used"] > 0
    assert run["attempt"] == (2 if killed else 1)
    history = loop.history()
    events = [each["evidence"].get("event") for each in history]
    assert events[-3:] == ["canary", "canary", "promoted"]
    last = history[-1]
    assert last["version"] == "2"
    assert run["id"] in str(last)
    assert run["feedback"]["md5"] in str(last)
    with capsys.disabled():
        print(
            f"\ndrift{', trainer killed' if killed else ''}: alarm after {alarmed - grown:.0f} s, "
            f"promoted after {cured - grown:.0f} s, {callers.statuses.total()} requests, "
            f"{callers.lost} lost, accuracy {before:.2f} before, {after:.2f} after"
        )


def killed_half_way(loop: Loop, stack: ExitStack, trainer: Client) -> Client:
    """The trainer and its run are killed while it fits, and the trainer is started again: on
    another port, so that the monitor's alerts do not reach it."""
    [run] = [
        each
        for each in trainer.http.get("/v1/runs?project=flowers").json()["runs"]
        if not each["ended"]
    ]
    until(lambda: trainer.run(run["id"])["stage"] == "fit")
    trainer.kill(runs=True)
    return stack.enter_context(loop.trainer())
