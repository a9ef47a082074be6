"""Metrics of referrals: of the probabilities, and of the decisions at a threshold."""

import numpy as np
from sklearn.metrics import recall_score

from slipway.training.validation import binary_metrics


def referral_metrics(y_prob: np.ndarray, sick: np.ndarray, threshold: float) -> dict[str, float]:
    """Return metrics of probabilities (rows,); those at or above `threshold` are referred."""
    names, referred = ("roc_auc", "recall", "precision", "brier"), y_prob >= threshold
    metrics = binary_metrics(sick, *names, y_prob=y_prob, y_pred=referred)
    return {**metrics, "specificity": float(recall_score(~sick, ~referred))}
