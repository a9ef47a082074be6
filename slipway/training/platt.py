"""Platt's scaling: from scores to probabilities by a logistic curve (Platt 1999)."""

import numpy as np
from sklearn.linear_model import LogisticRegression


def platt(scores: np.ndarray, happened: np.ndarray) -> tuple[float, float]:
    """Slope and intercept from scores (rows,) to the log odds of what happened (rows,).

    Platt's scaling (1999); of probabilities, their log odds are the scores.
    """
    # Nearly no shrinkage, and an end where scores part the two wholly.
    line = LogisticRegression(C=1e6, max_iter=1000).fit(scores[:, None], happened)
    return float(line.coef_[0, 0]), float(line.intercept_[0])
