"""Metrics of valuations in logarithms and in dollars, and the file name of the widening."""

import numpy as np

from slipway.training.validation import regression_metrics

from .model import TYPICAL

INTERVAL = "interval.json"


def valuation_metrics(y_pred: np.ndarray, y_true: np.ndarray) -> dict[str, float]:
    """Return metrics of logarithms of price over `TYPICAL` (rows,).

    `r2`, `mae` and `median_relative_error` are in dollars.
    """
    prices, predicted = TYPICAL * np.exp(y_true), TYPICAL * np.exp(y_pred)
    in_logs = regression_metrics(y_true, y_pred, "rmse", "r2")
    return {
        **{f"{name}_log": value for name, value in in_logs.items()},
        **regression_metrics(prices, predicted, "r2", "mae"),
        "median_relative_error": float(np.median(np.abs(predicted / prices - 1))),
    }
