"""Models for batch scoring, files for them to score, and readers of the results."""

import csv
import json
import subprocess
import sys
from pathlib import Path

from services.predict.batch import score as scoring
from slipway.contract.shipped import Shipped
from tests.conftest import ROOT

DOUBLING = '''
"""Doubles a number."""

import os
import time
from pathlib import Path

from pydantic import Field

from slipway.contract import Model, Record, publish


class Question(Record):
    number: int = Field(ge=0, le=1_000_000)
    who: str | None = None
    weight: float | None = None
    tags: list[str] = []


class Answer(Record):
    twice: int
    who: str | None
    about: dict[str, int | None]


class Doubling(Model):
    def load(self, weights: Path) -> None:
        self.pause = float((weights / "pause").read_text())

    def predict(self, model_input: list[Question]) -> list[Answer]:
        time.sleep(self.pause)
        if any(each.number == 666 for each in model_input):
            raise RuntimeError("666 is not allowed")
        if any(each.number == 667 for each in model_input):
            os.kill(os.getpid(), 11)
        if any(each.number == 668 for each in model_input):
            Path(os.environ["BLOCKED_PID"]).write_text(str(os.getpid()))
            while Path(os.environ["BLOCK_FILE"]).exists():
                time.sleep(0.01)
        return [
            Answer(twice=2 * each.number, who=each.who, about={"tags": len(each.tags)})
            for each in model_input
        ]


publish(Doubling())
'''
PICTURES = '''
"""Measures the size of a picture."""

from slipway.contract import Model, Record, publish


class Picture(Record):
    image: bytes


class Size(Record):
    size: int
    head: bytes


class Sizes(Model):
    def predict(self, model_input: list[Picture]) -> list[Size]:
        return [Size(size=len(each.image), head=each.image[:2]) for each in model_input]


publish(Sizes())
'''

SCRIPT = """
import sys
from pathlib import Path
from slipway.contract.shipped import Shipped
from services.predict.batch.score import score
model, source, target, every, *keep = sys.argv[1:]
target = Path(target)
score(shipped=Shipped(Path(model)), version="1", source=Path(source), target=target,
      work=target.with_name(target.name + ".work"), rows_per_part=int(every), keep=keep)
# Not getrusage: its peak includes that of the parent process.
status = Path("/proc/self/status").read_text().splitlines()
print(int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024)
"""


def ship_model(folder: Path, model: str = DOUBLING, *, pause: float = 0.0) -> Shipped:
    """Lay out a model.py as it ships; DOUBLING sleeps `pause` seconds per batch."""
    shipped = Shipped(folder)
    shipped.weights.mkdir(parents=True)
    shipped.about.mkdir()
    shipped.code.write_text(model)
    (shipped.weights / "pause").write_text(str(pause))
    (shipped.about / "card.md").write_text("# Twice\n")
    (shipped.about / "metrics.json").write_text('{"metrics": {"accuracy": 1.0}}')
    (shipped.about / "examples.json").write_text("[]")
    return shipped


def score(model: Shipped, source: Path, target: Path, **more) -> scoring.Summary:
    """Score `source` with version 1, with the work folder next to the target."""
    arguments = {"version": "1", "work": target.with_name(f"{target.name}.work"), **more}
    return scoring.score(shipped=model, source=source, target=target, **arguments)


def in_process(
    model: Shipped, source: Path, target: Path, every: int, *, keep: tuple[str, ...] = ("id",)
) -> "subprocess.Popen[str]":
    """Score in a process of its own, which prints the peak of its memory in MiB."""
    words = [sys.executable, "-c", SCRIPT, model.folder, source, target, every, *keep]
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_numbers(file: Path, count: int) -> Path:
    """Write a CSV with `count` rows: an id, and a number below 600."""
    with file.open("w") as stream:
        stream.write("id,number\n")
        stream.writelines(f"row {n},{n % 600}\n" for n in range(count))
    return file


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_json_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]
