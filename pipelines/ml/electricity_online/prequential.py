"""Prequential evaluation of the stream: every half hour is predicted before it is learnt from."""

from collections.abc import Callable
from typing import Any

import numpy as np

from slipway.training.resampled import RowMetric, roc_auc_by_rows
from slipway.training.validation import binary_metrics

from .learner import to_dicts
from .model import DAY, NUMBERS

Predictor = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps inputs (rows, 20) and labels (rows,) to probabilities (rows,), each from the past alone."""
MONTH = 30 * DAY
IS_UP = NUMBERS.index("is_up")


def no_change(numbers: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Predict that the next half hour is like this one.

    On this stream it beats many learners (Žliobaitė 2013), since labels come in runs.
    """
    return numbers[:, IS_UP].astype(np.float64)


def online(learner: Any) -> Predictor:
    """Predict each half hour, then learn from it."""

    def predict(numbers: np.ndarray, up: np.ndarray) -> np.ndarray:
        y_prob = np.empty(len(up))
        for row, (x, label) in enumerate(zip(to_dicts(numbers), up.tolist(), strict=True)):
            # River's trees return no probability for a label that they have not seen.
            y_prob[row] = learner.predict_proba_one(x).get(True, 0.5)
            learner.learn_one(x, label)
        return y_prob

    return predict


def stream_metrics(y_prob: np.ndarray, up: np.ndarray, is_up: np.ndarray) -> dict[str, float]:
    """Return ROC AUC, accuracy and kappa temporal; `is_up` (rows,) is the label before each.

    Kappa temporal is the share of the errors of no-change that are avoided (Bifet 2015).
    """
    metrics = binary_metrics(up, "roc_auc", "accuracy", y_prob=y_prob, y_pred=y_prob >= 0.5)
    naive = float((is_up == up).mean())
    return metrics | {"kappa_temporal": (metrics["accuracy"] - naive) / max(1 - naive, 1e-9)}


def roc_auc_by_days(up: np.ndarray, y_prob: np.ndarray) -> tuple[RowMetric, int]:
    """Return ROC AUC as a function of the numbers of whole days, and how many days there are.

    Half hours of one day resemble each other, so a bootstrap draws days: the block bootstrap of
    Künsch (1989). An incomplete last day is left out.
    """
    whole = len(up) // DAY * DAY
    # Fewer rows than a day, as in tests, are one block.
    days = np.arange(whole).reshape(-1, DAY) if whole else np.arange(len(up))[None]
    area = roc_auc_by_rows(up, y_prob)
    return lambda drawn: area(days[drawn].ravel()), len(days)
