"""The served model's predictions for the test rows: what `report.draw` draws from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.training.candidates import Candidate
from slipway.training.examples import Examples


@dataclass(frozen=True)
class Evaluation:
    """`answers[i]` is what the exported model predicted for `test.records[i]`."""

    train: Examples[Any, Any]
    test: Examples[Any, Any]
    answers: list[Any]
    metrics: dict[str, float]
    candidates: list[Candidate]
    chosen: str
    weights: Path
