"""The metrics of a referral: ranking, sharpness, and what a threshold refers."""

import numpy as np
from sklearn.metrics import recall_score

from slipway.training.validation import binary_metrics


def referral_metrics(y_prob: np.ndarray, sick: np.ndarray, threshold: float) -> dict[str, float]:
    """Return metrics of probabilities (rows,), those at `threshold` and above being referred."""
    names, referred = ("roc_auc", "recall", "precision", "brier"), y_prob >= threshold
    found = binary_metrics(sick, *names, y_prob=y_prob, y_pred=referred)
    return {**found, "specificity": float(recall_score(~sick, ~referred))}
