"""Errors of predicted house values in dollars.

`fit` computes them on validation rows, `evaluate` on the test rows.
"""

import numpy as np

from slipway.training.validation import regression_metrics

from .model import HIGHEST, UNIT


def in_dollars(scores: np.ndarray) -> np.ndarray:
    """Return dollars, given scores (rows,) in 100,000 dollars, clipped to the census's maximum."""
    return np.asarray(np.clip(scores, 0.0, HIGHEST / UNIT) * UNIT)


def errors(scores: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Return RMSE and MAE in dollars, and R2, of scores and true values in 100,000 dollars."""
    y_pred, y_true = in_dollars(scores), values * UNIT
    return regression_metrics(y_true, y_pred, "rmse", "mae", "r2")
