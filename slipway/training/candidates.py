"""The candidates that a project compared, and the chosen one."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from slipway.contract import Record
from slipway.training.workspace import write_json

BASELINE = "baseline"


@dataclass(frozen=True)
class Candidate:
    """One model or setting that was compared; a child run in MLflow.

    `metrics` come from validation data, never from the test rows. `curves` are per epoch or step.
    """

    name: str
    metrics: dict[str, float]
    parameters: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)

    def with_metrics(self, further: dict[str, float]) -> "Candidate":
        """Return the candidate with `further` metrics added to its own."""
        return replace(self, metrics=self.metrics | further)


@dataclass(frozen=True)
class Fitted:
    """The result of `train.fit`, which has written the weights already.

    `framework_predict` predicts with the training framework itself; parity is measured against it.
    Projects whose parity is of the kind `none` have none.
    """

    candidates: list[Candidate]
    chosen: str
    framework_predict: Callable[[list[Any]], Sequence[Record]] | None = None

    def __post_init__(self) -> None:
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) != len(names):
            raise ValueError(f"candidates must have different names, got {names}")
        for name, role in ((self.chosen, "chosen"), (BASELINE, "compared with")):
            if name not in names:
                raise ValueError(f"candidate {name!r} ({role}) is not among {names}")


def write(fitted: Fitted, file: Path) -> None:
    """Write the candidates and the chosen one's name as JSON."""
    rows = [asdict(candidate) for candidate in fitted.candidates]
    # Rounded: threads add up in a different order each time, but equal runs must give equal files.
    write_json(file, {"chosen": fitted.chosen, "candidates": rows})


def read(file: Path) -> tuple[str, list[Candidate]]:
    """Return the chosen candidate's name and all candidates."""
    content = json.loads(file.read_text())
    return content["chosen"], [Candidate(**row) for row in content["candidates"]]
