"""Metrics by which candidates are compared on validation rows: scikit-learn's definitions.

Only what scikit-learn defines stands here, so that `fit` depends on scikit-learn and not on the
definitions that a report adds in `slipway.reporting.metrics`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from sklearn import metrics

Kind = Literal["y_prob", "y_pred"]
Metric = tuple[Kind, Callable[[np.ndarray, np.ndarray], float]]


def binary_metrics(
    y_true: Any, *names: str, y_prob: Any = None, y_pred: Any = None
) -> dict[str, float]:
    """Return the metrics `names`, in that order, of predictions for yes-or-no labels (rows,).

    `y_prob` holds probabilities (rows,) for `roc_auc`, `average_precision` (any scores do for
    these two), `brier` and `log_loss`. `y_pred` holds decisions (rows,) for `accuracy`,
    `precision`, `recall` and `f1`, which are 0 where nothing was decided or happened.

    Raises:
        KeyError: a metric that is not known.
        ValueError: a metric of `y_prob`, or of `y_pred`, and that is not given.
    """
    return compute(KNOWN, y_true, names, y_prob=y_prob, y_pred=y_pred)


def compute(
    known: Mapping[str, Metric], y_true: Any, names: Sequence[str], *, y_prob: Any, y_pred: Any
) -> dict[str, float]:
    """Return the metrics `names` of the table `known`; see `binary_metrics`."""
    labels, given = np.asarray(y_true, dtype=bool), {"y_prob": y_prob, "y_pred": y_pred}
    found = {}
    for name in names:
        kind, metric = known[name]
        if given[kind] is None:
            raise ValueError(f"{name} needs `{kind}`, which is not given")
        found[name] = float(metric(labels, np.asarray(given[kind], dtype=DTYPES[kind])))
    return found


def mean_over_folds(folds: Sequence[Mapping[str, float]], *spread: str) -> dict[str, float]:
    """Return the mean of each metric over `folds`, and `NAME_std` for the metrics in `spread`."""
    means = {name: float(np.mean([each[name] for each in folds])) for name in folds[0]}
    spreads = {f"{name}_std": float(np.std([each[name] for each in folds])) for name in spread}
    return means | spreads


def _log_loss(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    # A row that was called impossible and happened would make it infinite.
    return float(metrics.log_loss(y_true, np.clip(y_prob, 1e-7, 1 - 1e-7), labels=[False, True]))


DTYPES = {"y_prob": np.float64, "y_pred": np.bool_}
KNOWN: dict[str, Metric] = {
    "roc_auc": ("y_prob", metrics.roc_auc_score),
    "average_precision": ("y_prob", metrics.average_precision_score),
    "brier": ("y_prob", metrics.brier_score_loss),
    "log_loss": ("y_prob", _log_loss),
    "accuracy": ("y_pred", metrics.accuracy_score),
    "precision": ("y_pred", partial(metrics.precision_score, zero_division=0.0)),
    "recall": ("y_pred", partial(metrics.recall_score, zero_division=0.0)),
    "f1": ("y_pred", partial(metrics.f1_score, zero_division=0.0)),
}
