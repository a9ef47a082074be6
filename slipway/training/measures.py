"""Figures of yes-or-no forecasts, by the names that they have in metrics.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from slipway.training.calibration import Reliability


def of_probabilities(happened: Any, told: Any, *names: str) -> dict[str, float]:
    """Of probabilities (rows,) and whether it happened (rows,).

    Names are `roc_auc`, `average_precision`, `brier`, `log_loss` and `calibration_error`; ranks
    alone, or any scores, do for the first two.
    """
    truths, values = np.asarray(happened, dtype=bool), np.asarray(told, dtype=np.float64)
    known = {
        "roc_auc": metrics.roc_auc_score,
        "average_precision": metrics.average_precision_score,
        "brier": metrics.brier_score_loss,
        "log_loss": _log_loss,
        "calibration_error": _calibration_error,
    }
    return {name: float(known[name](truths, values)) for name in names}


def of_decisions(happened: Any, decided: Any, *names: str) -> dict[str, float]:
    """Of decisions (rows,) and whether it happened (rows,).

    Names are `accuracy`, `precision`, `recall` and `f1`; 0 where nothing was decided or happened.
    """
    truths, values = np.asarray(happened, dtype=bool), np.asarray(decided, dtype=bool)
    known = {
        "precision": metrics.precision_score,
        "recall": metrics.recall_score,
        "f1": metrics.f1_score,
    }
    found = {"accuracy": float(metrics.accuracy_score(truths, values))}
    found |= {name: float(each(truths, values, zero_division=0.0)) for name, each in known.items()}
    return {name: found[name] for name in names}


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
