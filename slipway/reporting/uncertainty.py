"""A test metric with its interval, and the metric of the baseline on the same rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from slipway.training.selection import bootstrap_interval

Metric = Callable[[np.ndarray], float]


def metric_with_interval(
    name: str, metric: Metric, rows: int, *, seed: int = 0
) -> dict[str, float]:
    """Return `name`, `name_low` and `name_high`: a metric of all rows, and its 95 % interval.

    `metric` computes the metric from row indices (rows,). The interval is the bootstrap's over
    rows, by percentiles (Efron 1979). Where rows depend on each other, pass the number of groups
    as `rows`, and a `metric` that takes indices of groups.
    """
    low, high = bootstrap_interval(metric, rows, seed=seed)
    return {name: metric(np.arange(rows)), f"{name}_low": low, f"{name}_high": high}


def baseline_metric(name: str, metric: Metric, rows: int) -> dict[str, float]:
    """Return `baseline_name`: the metric of the baseline's predictions for the same rows."""
    return {f"baseline_{name}": metric(np.arange(rows))}


def scores_with_interval(
    primary: str,
    scores: Callable[[Any, Any], dict[str, float]],
    predictions: Sequence[Any],
    labels: Sequence[Any],
    *,
    resamples: int = 200,
) -> dict[str, float]:
    """Return all scores of the predictions, and the ends of the interval of the primary one.

    `scores` computes metrics by name from predictions and labels, both of the same length.
    """

    def primary_score(rows: np.ndarray) -> float:
        drawn = ([values[row] for row in rows] for values in (predictions, labels))
        return scores(*drawn)[primary]

    low, high = bootstrap_interval(primary_score, len(labels), seed=0, resamples=resamples)
    return scores(predictions, labels) | {f"{primary}_low": low, f"{primary}_high": high}


def over_groups(metric: Metric, groups: Sequence[np.ndarray]) -> Metric:
    """Return `metric` as a function of the indices of groups; each group holds row indices."""
    return lambda drawn: metric(np.concatenate([groups[each] for each in drawn]))


def neighbouring(rows: int, size: int) -> list[np.ndarray]:
    """Return groups of about `size` rows that follow each other, for rows in order of time."""
    return np.array_split(np.arange(rows), max(1, rows // size))
