"""Errors of sales forecasts, by which candidates are compared and the served model is scored."""

import numpy as np

from .days import Days
from .model import WEEKS

MISSED = 0.1  # the intended share of days on either side of an interval


def forecast_errors(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Return RMSPE, the competition's metric, and MAE in turnover, of logarithms (days,)."""
    sold, forecast = np.exp(y_true), np.exp(y_pred)
    return {
        "rmspe": float(np.sqrt(np.mean((forecast / sold - 1) ** 2))),
        "mae": float(np.abs(forecast - sold).mean()),
    }


def weekly(days: Days, y_pred: np.ndarray) -> list[float]:
    """Return RMSPE by week ahead."""
    weeks = (days.week == each for each in range(WEEKS))
    return [forecast_errors(days.logs[rows], y_pred[rows])["rmspe"] for rows in weeks]
