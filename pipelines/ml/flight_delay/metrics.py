"""The metrics of a probability of delay, and the standard error of ROC AUC."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from slipway.training.validation import binary_metrics


def delay_metrics(y_true: Any, y_prob: np.ndarray) -> dict[str, float]:
    """Return ROC AUC, average precision, log loss and Brier score of probabilities (rows,).

    `log_loss_skill` is the reduction of the log loss relative to predicting the share of late
    flights for all of them, so that months with more and fewer delays can be compared.
    """
    names = ("roc_auc", "average_precision", "log_loss", "brier")
    metrics = binary_metrics(y_true, *names, y_prob=y_prob)
    share = np.full(len(y_prob), np.mean(y_true))
    constant = binary_metrics(y_true, "log_loss", y_prob=share)["log_loss"]
    return metrics | {"log_loss_skill": 1 - metrics["log_loss"] / constant}


def roc_auc_error(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return the standard error of ROC AUC, by the ranks of late flights among the others.

    It is the placement-value form of DeLong, DeLong and Clarke-Pearson (1988).
    """
    late, other = y_prob[y_true], y_prob[~y_true]
    ranks = rankdata(np.concatenate([late, other]))
    above = (ranks[: len(late)] - rankdata(late)) / len(other)
    below = (ranks[len(late) :] - rankdata(other)) / len(late)
    return float(np.sqrt(above.var(ddof=1) / len(late) + below.var(ddof=1) / len(other)))
