"""Platt scaling: map scores to probabilities by a logistic curve (Platt 1999)."""

import numpy as np
from sklearn.linear_model import LogisticRegression


def platt(scores: np.ndarray, y_true: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept of the line from scores (rows,) to the log odds of `y_true`.

    To calibrate probabilities, pass their log odds as scores.
    """
    # Almost no regularization, but enough to converge if scores separate the classes perfectly.
    line = LogisticRegression(C=1e6, max_iter=1000).fit(scores[:, None], y_true)
    return float(line.coef_[0, 0]), float(line.intercept_[0])
