"""The Brier skill, by which candidates are compared and the served model is scored."""

import numpy as np

# Reported beside the Brier skill.
NAMES = ("brier", "roc_auc", "average_precision", "log_loss")


def brier_skill(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return the reduction of the Brier score relative to predicting the share of buyers.

    That makes moments with more and fewer buyers comparable. Both arrays are (rows,).
    """
    share = float(y_true.mean())
    return 1 - float(np.mean((y_prob - y_true) ** 2)) / (share * (1 - share))
