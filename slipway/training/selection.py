"""Choose among candidates by the one-standard-error rule, so that noise does not decide.

Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984), section 3.4.3.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from slipway.training.candidates import Candidate


def simplest_within_error(
    tried: Sequence[Candidate], metric: str, *, best: Literal["highest", "lowest"]
) -> Candidate:
    """Return the simplest candidate whose `metric` lies within one standard error of the best.

    `tried` is ordered from the simplest to the most complex. The best candidate's metrics must hold
    its standard error as `METRIC_se`.

    Raises:
        ValueError: nothing was tried, or the best candidate has no standard error.
    """
    if not tried:
        raise ValueError("there is no candidate to choose from")
    sign = 1.0 if best == "highest" else -1.0
    leader = max(tried, key=lambda each: sign * each.metrics[metric])
    error = leader.metrics.get(f"{metric}_se")
    if error is None:
        raise ValueError(f"candidate {leader.name!r} has no {metric}_se")
    bound = sign * leader.metrics[metric] - error
    return next(each for each in tried if sign * each.metrics[metric] >= bound)


def fold_error(scores: Sequence[float] | np.ndarray, folds: int | None = None) -> float:
    """Return the standard error of the mean of `scores` over cross-validation folds.

    Repeats of a cross-validation reuse the same rows. For repeats, pass the number of folds of one
    repeat as `folds`: the standard deviation is divided by its square root.
    """
    values = np.asarray(scores, dtype=np.float64)
    return float(values.std(ddof=1) / np.sqrt(folds or len(values)))


def bootstrap_error(
    metric: Callable[[np.ndarray], float], rows: int, *, seed: int, resamples: int = 200
) -> float:
    """Return the bootstrap standard error of a metric on one validation set (Efron 1979).

    `metric` computes the metric from row indices (rows,) that are drawn with replacement.
    """
    return float(np.std(_resampled(metric, rows, seed, resamples), ddof=1))


def bootstrap_interval(
    metric: Callable[[np.ndarray], float], rows: int, *, seed: int, resamples: int = 200
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a metric, by percentiles; see `bootstrap_error`."""
    low, high = np.quantile(_resampled(metric, rows, seed, resamples), [0.025, 0.975]).tolist()
    return low, high


def _resampled(
    metric: Callable[[np.ndarray], float], rows: int, seed: int, resamples: int
) -> list[float]:
    generator = np.random.default_rng(seed)
    return [metric(generator.integers(0, rows, rows)) for _ in range(resamples)]
