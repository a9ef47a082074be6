"""Means over pictures that occur several times, with their standard error."""

from collections.abc import Hashable, Sequence

import numpy as np


def picture_means(values: np.ndarray, pictures: Sequence[Hashable]) -> np.ndarray:
    """Return the mean value of each picture."""
    places = {each: place for place, each in enumerate(dict.fromkeys(pictures))}
    rows = np.array([places[each] for each in pictures])
    return np.bincount(rows, weights=values) / np.bincount(rows)


def mean_error(values: np.ndarray, pictures: Sequence[Hashable]) -> float:
    """Return the standard error of the mean: rows of the same picture are not independent."""
    means = picture_means(values, pictures)
    return float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else 0.0


def interval(
    values: np.ndarray, pictures: Sequence[Hashable], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean by a bootstrap over pictures (Efron 1979)."""
    means = picture_means(values, pictures)
    drawn = np.random.default_rng(seed).integers(0, len(means), (2000, len(means)))
    low, high = np.quantile(means[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
