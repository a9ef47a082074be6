"""The task of every engine: the rows, days and penalties that make the engines comparable."""

from pathlib import Path
from typing import Protocol, TypedDict

import pandas as pd

from slipway.features.tables.flight_routes import FIRST

from ..model import FIELDS

# The history counts every flight. Each sixteenth, by its number, is prepared and learned from, as
# the project itself learns from a sample of 6 %.
EVERY = 16
# The columns that are written for a sampled flight.
PREPARED = ("number", "day", "late", *FIELDS)
# The penalties that each engine tries, relative to the mean loss.
STRENGTHS = (0.01, 0.1, 1.0)
CORES = 2


def day_of(date: str) -> int:
    """Return the days between `FIRST` and a date of 2001."""
    return (pd.Timestamp(date) - FIRST).days


# Before BEGIN there is no whole month of history. The penalty is chosen on the days from VALID_FROM
# on, and the chosen one is scored on those from TEST_FROM on.
BEGIN, VALID_FROM, TEST_FROM, END = map(
    day_of, ("2001-01-29", "2001-05-01", "2001-06-01", "2001-07-01")
)


class Learned(TypedDict):
    """The result of the grid: ROC AUC by penalty, and that of the chosen one on the test days."""

    rows: int
    valid_roc_auc: dict[str, float]
    strength: float
    test_roc_auc: float


class Report(Protocol):
    """Called by an engine when it begins a step, or with figures that it measured."""

    def __call__(self, step: str | None = None, **figures: float) -> None: ...


class Engine(Protocol):
    """The function `run` of a module `with_NAME`."""

    def __call__(self, flights: Path, prepared: Path, report: Report) -> Learned: ...
