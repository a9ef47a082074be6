"""Metrics that compare candidates on validation rows, as scikit-learn defines them.

Metrics that scikit-learn lacks are in `slipway.reporting.metrics`, so that `fit` does not depend on
them.
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

    `y_prob` holds probabilities (rows,) for `roc_auc`, `average_precision` (any scores will do for
    these two), `brier` and `log_loss`. `y_pred` holds predicted labels (rows,) for `accuracy`,
    `precision`, `recall` and `f1`. The last three are 0 if their denominator is 0.

    Raises:
        KeyError: a metric is unknown.
        ValueError: a metric needs `y_prob` or `y_pred`, which is not given.
    """
    return compute(KNOWN, y_true, names, y_prob=y_prob, y_pred=y_pred)


def compute(
    known: Mapping[str, Metric], y_true: Any, names: Sequence[str], *, y_prob: Any, y_pred: Any
) -> dict[str, float]:
    """Return the metrics `names` defined in the table `known`; see `binary_metrics`."""
    labels, given = np.asarray(y_true, dtype=bool), {"y_prob": y_prob, "y_pred": y_pred}
    values = {}
    for name in names:
        kind, metric = known[name]
        if given[kind] is None:
            raise ValueError(f"{name} needs `{kind}`, which is not given")
        values[name] = float(metric(labels, np.asarray(given[kind], dtype=DTYPES[kind])))
    return values


def regression_metrics(y_true: Any, y_pred: Any, *names: str) -> dict[str, float]:
    """Return the metrics `names` (`rmse`, `mae`, `r2`), in that order, of numbers (rows,).

    Raises:
        KeyError: a metric is unknown.
    """
    return {name: float(REGRESSION[name](y_true, y_pred)) for name in names}


def brier_skill(y_true: np.ndarray, y_prob: np.ndarray, reference: float | None = None) -> float:
    """Return the reduction of the Brier score relative to predicting `reference` for every row.

    The default is the share of positive labels, which makes data sets with more and fewer of them
    comparable. Both arrays are (rows,).
    """
    known = float(y_true.mean()) if reference is None else reference
    return 1 - float(np.mean((y_prob - y_true) ** 2)) / float(np.mean((known - y_true) ** 2))


def mean_over_folds(folds: Sequence[Mapping[str, float]], *spread: str) -> dict[str, float]:
    """Return the mean of each metric over `folds`, and `NAME_std` for the metrics in `spread`."""
    means = {name: float(np.mean([each[name] for each in folds])) for name in folds[0]}
    spreads = {f"{name}_std": float(np.std([each[name] for each in folds])) for name in spread}
    return means | spreads


def _log_loss(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    # A positive row with probability 0 would make the loss infinite.
    return float(metrics.log_loss(y_true, np.clip(y_prob, 1e-7, 1 - 1e-7), labels=[False, True]))


DTYPES = {"y_prob": np.float64, "y_pred": np.bool_}
REGRESSION: dict[str, Callable[[Any, Any], float]] = {
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
}
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
