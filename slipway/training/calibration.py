"""Does what was told happen as often as it was told?"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of equal size, from the least probable to the most; each array is (bins,)."""

    told: np.ndarray
    """The mean probability."""
    happened: np.ndarray
    """The share that it happened to."""
    rows: np.ndarray

    @classmethod
    def of(cls, told: np.ndarray, happened: np.ndarray, bins: int = 10) -> "Reliability":
        """Of probabilities (rows,) and whether it happened (rows,)."""
        order = np.array_split(np.argsort(told, kind="stable"), min(bins, len(told)))
        parts = [(told[rows].mean(), happened[rows].mean(), len(rows)) for rows in order]
        return cls(*np.array(parts, dtype=np.float64).T)

    @property
    def error(self) -> float:
        """The expected calibration error: told less happened, absolute, weighted by the rows."""
        return float(np.sum(np.abs(self.told - self.happened) * self.rows) / self.rows.sum())

    @property
    def reach(self) -> np.ndarray:
        """Half the width of what happened's 95 % interval, by the normal approximation."""
        return np.asarray(1.96 * np.sqrt(self.happened * (1 - self.happened) / self.rows))
