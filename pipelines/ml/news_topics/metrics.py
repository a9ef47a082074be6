"""Multi-label metrics, by which candidates are compared and the served model is scored."""

from functools import partial

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from .model import TOPICS

f1 = partial(f1_score, zero_division=0.0)


def indicator(topics: list[list[str]]) -> np.ndarray:
    """Return whether each story is about each topic: (rows, topics) bool."""
    return np.array([[name in each for name in TOPICS] for each in topics])


def multilabel_metrics(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Return F1, Hamming loss and the share of rows with every label right; both (rows, labels)."""
    return {
        "macro_f1": float(f1(y_true, y_pred, average="macro")),
        "micro_f1": float(f1(y_true, y_pred, average="micro")),
        "hamming_loss": float(hamming_loss(y_true, y_pred)),
        "all_right": float(accuracy_score(y_true, y_pred)),
    }
