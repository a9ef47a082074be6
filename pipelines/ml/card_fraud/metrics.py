"""Metrics of suspicion scores for very rare frauds, and the cost of the actions taken.

`fit` computes them on validation rows, `evaluate` on the test rows.
"""

import numpy as np
from sklearn.metrics import precision_recall_curve

from slipway.training.validation import binary_metrics

from .model import costs

# The share of payments that a team can review: 100 of a day's 142,404.
BUDGET = 100 / 142_404
# The real connections on which the learners are compared as well.
CONNECTIONS = ("http", "smtp")
# The recalls at which precision curves are sampled.
RECALLS = np.linspace(0, 1, 41)


def ranking_metrics(scores: np.ndarray, frauds: np.ndarray) -> dict[str, float]:
    """Return ranking metrics of scores (rows,), any scale, for labels (rows,)."""
    precision, recall, _ = precision_recall_curve(frauds, scores)
    reviewed = np.argsort(-scores, kind="stable")[: max(1, round(BUDGET * len(scores)))]
    return {
        **binary_metrics(frauds, "average_precision", "roc_auc", y_prob=scores),
        "recall_at_precision_90": float(recall[precision >= 0.9].max()),
        "precision_at_budget": float(frauds[reviewed].mean()),
    }


def cost_of_actions(actions: np.ndarray, amounts: np.ndarray, frauds: np.ndarray) -> float:
    """Return dollars per thousand payments; actions (rows,) are indices into `ACTIONS`."""
    rows = np.arange(len(frauds))
    return float(costs(frauds.astype(float), amounts)[rows, actions].mean() * 1000)
