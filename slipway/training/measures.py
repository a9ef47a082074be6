"""Figures of yes-or-no forecasts, by the names that they have in metrics.json."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn import metrics

from slipway.training.calibration import Reliability


def of_forecasts(
    happened: Any, *names: str, told: Any = None, decided: Any = None
) -> dict[str, float]:
    """The figures asked for, in that order, of forecasts and whether it happened (rows,).

    `told` are probabilities (rows,): `roc_auc`, `average_precision` (ranks alone, or any scores, do
    for these two), `brier`, `log_loss` and `calibration_error`. `decided` is yes or no (rows,):
    `accuracy`, `precision`, `recall` and `f1`, 0 where nothing was decided or happened.

    Raises:
        KeyError: a figure that is not known.
        ValueError: a figure of `told`, or of `decided`, and that is not given.
    """
    truths, given, found = np.asarray(happened, dtype=bool), {"told": told, "decided": decided}, {}
    for name in names:
        kind, measure = KNOWN[name]
        if given[kind] is None:
            raise ValueError(f"{name} is a figure of `{kind}`, which is not given")
        found[name] = float(measure(truths, np.asarray(given[kind], dtype=KINDS[kind])))
    return found


def over_folds(found: Sequence[dict[str, float]], *spread: str) -> dict[str, float]:
    """The means of figures by fold, and `NAME_std` of those whose spread is asked for."""
    means = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
    spreads = {f"{name}_std": float(np.std([each[name] for each in found])) for name in spread}
    return means | spreads


def _log_loss(truths: np.ndarray, told: np.ndarray) -> float:
    # Of a row that was called impossible it would be without end.
    return float(metrics.log_loss(truths, np.clip(told, 1e-7, 1 - 1e-7), labels=[False, True]))


def _calibration_error(truths: np.ndarray, told: np.ndarray) -> float:
    return Reliability.of(told, truths).error


KINDS = {"told": np.float64, "decided": np.bool_}
KNOWN: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = {
    "roc_auc": ("told", metrics.roc_auc_score),
    "average_precision": ("told", metrics.average_precision_score),
    "brier": ("told", metrics.brier_score_loss),
    "log_loss": ("told", _log_loss),
    "calibration_error": ("told", _calibration_error),
    "accuracy": ("decided", metrics.accuracy_score),
    "precision": ("decided", partial(metrics.precision_score, zero_division=0.0)),
    "recall": ("decided", partial(metrics.recall_score, zero_division=0.0)),
    "f1": ("decided", partial(metrics.f1_score, zero_division=0.0)),
}
