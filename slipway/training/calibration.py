"""Reliability curve: predicted probabilities against observed shares, in bins."""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Reliability:
    """Rows in bins, in ascending order of `y_prob`; each array is (bins,)."""

    y_prob: np.ndarray
    """The mean predicted probability per bin."""
    observed: np.ndarray
    """The share of rows per bin whose label is true."""
    rows: np.ndarray
    """The number of rows per bin."""

    @classmethod
    def from_predictions(
        cls, y_prob: np.ndarray, y_true: np.ndarray, bins: int = 10, *, equal_width: bool = False
    ) -> Self:
        """Bin probabilities (rows,) and their labels (rows,).

        Bins have equally many rows, or with `equal_width` equal parts of the range from 0 to 1;
        then empty bins are left out.
        """
        if equal_width:
            places = np.minimum((y_prob * bins).astype(int), bins - 1)
            order = [np.flatnonzero(places == place) for place in np.unique(places)]
        else:
            order = np.array_split(np.argsort(y_prob, kind="stable"), min(bins, len(y_prob)))
        parts = [(y_prob[rows].mean(), y_true[rows].mean(), len(rows)) for rows in order]
        return cls(*np.array(parts, dtype=np.float64).T)

    @property
    def margin(self) -> np.ndarray:
        """Half the width of the observed share's 95 % interval, by the normal approximation."""
        return np.asarray(1.96 * np.sqrt(self.observed * (1 - self.observed) / self.rows))


def expected_calibration_error(bins: Reliability) -> float:
    """Return the mean distance of `y_prob` from the observed share, weighted by rows per bin."""
    gaps = np.abs(bins.y_prob - bins.observed)
    return float(np.sum(gaps * bins.rows) / bins.rows.sum())
