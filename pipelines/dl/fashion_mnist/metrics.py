"""Metrics of predicted probabilities: candidates in `fit`, the served model in `evaluate`."""

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss

BINS = 15


def metrics(y_prob: np.ndarray, y_true: np.ndarray) -> dict[str, float]:
    """Return the metrics of probabilities (rows, labels), given label numbers (rows,)."""
    y_pred = y_prob.argmax(axis=1)
    # In float64: in float32 the rows sum to 1 only to 7 digits, which scikit-learn warns of.
    exact = y_prob.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "macro_f1": float(f1_score(y_true, y_pred, average="macro", zero_division=0.0)),
        "log_loss": float(log_loss(y_true, exact, labels=range(y_prob.shape[1]))),
        "calibration_error": calibration_error(y_prob.max(axis=1), y_pred == y_true),
    }


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the expected calibration error of `confidence` over 15 bins of equal width."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))
