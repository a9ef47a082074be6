"""Metrics of valuations in logarithms and in dollars, and the file name of the widening."""

import numpy as np
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from .model import TYPICAL

INTERVAL = "interval.json"


def valuation_metrics(y_pred: np.ndarray, y_true: np.ndarray) -> dict[str, float]:
    """Return metrics of logarithms of price over `TYPICAL` (rows,).

    `r2`, `mae` and `median_relative_error` are in dollars.
    """
    prices, predicted = TYPICAL * np.exp(y_true), TYPICAL * np.exp(y_pred)
    return {
        "rmse_log": float(root_mean_squared_error(y_true, y_pred)),
        "r2_log": float(r2_score(y_true, y_pred)),
        "r2": float(r2_score(prices, predicted)),
        "mae": float(mean_absolute_error(prices, predicted)),
        "median_relative_error": float(np.median(np.abs(predicted / prices - 1))),
    }
