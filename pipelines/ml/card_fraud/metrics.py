"""Metrics of suspicion scores for very rare frauds, and the cost of the actions taken.

`fit` computes them on validation rows, `evaluate` on the test rows.
"""

import numpy as np
from sklearn.metrics import precision_recall_curve

from slipway.training.validation import binary_metrics

from .model import costs

# A team that can look at 100 of a day's 142,404 payments.
BUDGET = 100 / 142_404
# Where the curves of precision are read off.
RECALLS = np.linspace(0, 1, 41)


def figures(scores: np.ndarray, frauds: np.ndarray) -> dict[str, float]:
    """Return ranking metrics of scores (rows,), any scale, for labels (rows,)."""
    precision, recall, _ = precision_recall_curve(frauds, scores)
    looked_at = np.argsort(-scores, kind="stable")[: max(1, round(BUDGET * len(scores)))]
    return {
        **binary_metrics(frauds, "average_precision", "roc_auc", y_prob=scores),
        "recall_at_precision_90": float(recall[precision >= 0.9].max()),
        "precision_at_budget": float(frauds[looked_at].mean()),
    }


def spent(actions: np.ndarray, amounts: np.ndarray, frauds: np.ndarray) -> float:
    """Return dollars a thousand payments; actions (rows,) are places in `ACTIONS`."""
    rows = np.arange(len(frauds))
    return float(costs(frauds.astype(float), amounts)[rows, actions].mean() * 1000)
