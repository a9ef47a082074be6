"""The randomized trial as arrays, and the doubly robust scores that measure effects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from slipway.training import LabelledRows

from .model import NORMAL, Customer, features

Label = dict[str, Any]


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error."""

    value: float
    error: float

    @classmethod
    def mean(cls, values: np.ndarray) -> "Estimate":
        return cls(float(values.mean()), float(values.std() / np.sqrt(max(len(values), 1))))

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the 95 % interval."""
        return self.value - NORMAL * self.error, self.value + NORMAL * self.error


@dataclass(frozen=True)
class Sample:
    """Columns known before (rows, columns), treatment (rows,) and outcome (rows,)."""

    before: np.ndarray
    treated: np.ndarray
    outcome: np.ndarray

    def at(self, rows: np.ndarray) -> "Sample":
        return Sample(self.before[rows], self.treated[rows], self.outcome[rows])


def trial_sample(rows: LabelledRows[Customer, Label], outcome: str) -> Sample:
    """Return customers with whether they were mailed and one outcome: `visited` or `spent`."""
    return Sample(
        features(rows.records)["numbers"].astype(np.float64),
        np.array([each["mailed"] for each in rows.labels], dtype=bool),
        np.array([each[outcome] for each in rows.labels], dtype=np.float64),
    )


def robust(sample: Sample, means: np.ndarray) -> np.ndarray:
    """Return doubly robust scores (rows,), given expected outcomes (2, rows) and even arms."""
    error = sample.outcome - np.where(sample.treated, means[1], means[0])
    return np.asarray(means[1] - means[0] + 2 * np.where(sample.treated, error, -error))


def qini(y_pred: np.ndarray, score: np.ndarray) -> Estimate:
    """Return the area between mailing by predicted effect and at random, in visits per customer.

    It is the mean of how much earlier than halfway a customer is mailed, times the score; customers
    with equal predictions are mailed together. Radcliffe (2007), in the form of Yadlowsky et al.
    (2025).
    """
    early = (rankdata(y_pred) - 0.5) / len(y_pred) - 0.5
    return Estimate.mean(early * (score - score.mean()))
