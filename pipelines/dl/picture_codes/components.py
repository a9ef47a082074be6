"""Principal component analysis: the best code that a linear map can make."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import eigh, svd


@dataclass(frozen=True)
class Components:
    """The mean picture (values,), the main directions (count, values), and their deviations."""

    mean: np.ndarray
    directions: np.ndarray
    deviations: np.ndarray

    @classmethod
    def from_pictures(cls, images: np.ndarray, count: int) -> Self:
        """Compute the `count` directions in which pictures (rows, ...) differ most.

        Each picture counts as one vector of all its values; brightness is from 0 to 1.
        """
        rows = images.reshape(len(images), -1).astype(np.float64)
        mean = rows.mean(axis=0)
        variances, vectors = main_directions(rows - mean, count)
        # A quarter of a level: less is rounding.
        deviations = np.sqrt(np.maximum(variances, 1e-6))
        return cls(mean, vectors, deviations)

    def reconstructed(self, images: np.ndarray) -> np.ndarray:
        """Return pictures made of their codes alone, in the shape of `images`, from 0 to 1."""
        rows = images.reshape(len(images), -1) - self.mean
        made = rows @ self.directions.T @ self.directions + self.mean
        return np.asarray(made.reshape(images.shape).clip(0, 1))


def main_directions(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest variances (count,) of centered rows, and their directions (count, values).

    Few rows differ in fewer directions than they have values; the others are 0.
    """
    if len(rows) <= rows.shape[1]:
        _, lengths, found = svd(rows, full_matrices=False)
        lengths, found = lengths[:count], found[:count]
        missing = count - len(found)
        variances = np.pad(lengths**2 / max(len(rows) - 1, 1), (0, missing))
        return variances, np.pad(found, ((0, missing), (0, 0)))
    covariance = rows.T @ rows / (len(rows) - 1)
    last = len(covariance) - 1
    variances, columns = eigh(covariance, subset_by_index=(last - count + 1, last))
    return variances[::-1], np.ascontiguousarray(columns[:, ::-1].T)
