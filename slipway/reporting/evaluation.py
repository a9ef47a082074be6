"""The evaluation of the exported model, from which `report.draw` draws."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.training.candidates import Candidate
from slipway.training.labelled_rows import LabelledRows


@dataclass(frozen=True)
class Evaluation:
    """The evaluation: `predictions[i]` is the exported model's prediction for `test.records[i]`."""

    train: LabelledRows[Any, Any]
    test: LabelledRows[Any, Any]
    predictions: list[Any]
    metrics: dict[str, float]
    candidates: list[Candidate]
    chosen: str
    weights: Path
