"""Metrics of predicted classes: candidates in `fit`, the served model in `evaluate`."""

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss

from slipway.training.calibration import Reliability, expected_calibration_error

BINS = 15


def class_metrics(y_prob: np.ndarray, y_true: np.ndarray) -> dict[str, float]:
    """Return the metrics of probabilities (rows, labels), given label numbers (rows,).

    `calibration_error` is that of the most probable label, over 15 bins of equal width (Guo et al.
    2017).
    """
    y_pred = y_prob.argmax(axis=1)
    # In float64: in float32 the rows sum to 1 only to 7 digits, which scikit-learn warns of.
    exact = y_prob.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    confidence, correct = y_prob.max(axis=1), y_pred == y_true
    bins = Reliability.from_predictions(confidence, correct, BINS, equal_width=True)
    return {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "macro_f1": float(f1_score(y_true, y_pred, average="macro", zero_division=0.0)),
        "log_loss": float(log_loss(y_true, exact, labels=range(y_prob.shape[1]))),
        "calibration_error": expected_calibration_error(bins),
    }


def share_error(share: float, rows: int) -> float:
    """Return the standard error of a share of `rows`, such as an accuracy."""
    return float(np.sqrt(share * (1 - share) / rows))
