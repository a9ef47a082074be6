"""Reliability curve: predicted probabilities against observed shares, in bins of equal size."""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of equal size, in ascending order of `y_prob`; each array is (bins,)."""

    y_prob: np.ndarray
    """The mean predicted probability per bin."""
    observed: np.ndarray
    """The share of rows per bin whose label is true."""
    rows: np.ndarray
    """The number of rows per bin."""

    @classmethod
    def from_predictions(cls, y_prob: np.ndarray, y_true: np.ndarray, bins: int = 10) -> Self:
        """Bin probabilities (rows,) and their labels (rows,)."""
        order = np.array_split(np.argsort(y_prob, kind="stable"), min(bins, len(y_prob)))
        parts = [(y_prob[rows].mean(), y_true[rows].mean(), len(rows)) for rows in order]
        return cls(*np.array(parts, dtype=np.float64).T)

    @property
    def margin(self) -> np.ndarray:
        """Half the width of the observed share's 95 % interval, by the normal approximation."""
        return np.asarray(1.96 * np.sqrt(self.observed * (1 - self.observed) / self.rows))
