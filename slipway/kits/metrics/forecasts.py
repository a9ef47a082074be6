"""Metrics of forecasts of one or several series; arrays are (rows, steps) or (rows,)."""

import numpy as np


def smape(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return the symmetric mean absolute percentage error in percent, from 0 to 200.

    Where both numbers are 0 the error is 0 (Makridakis, Spiliotis and Assimakopoulos, M4, 2020).
    """
    size = np.abs(y_true) + np.abs(y_pred)
    error = np.abs(y_true - y_pred)
    ratio = np.divide(error, size, out=np.zeros(error.shape, dtype=np.float64), where=size > 0)
    return float(200 * ratio.mean())


def mase(y_true: np.ndarray, y_pred: np.ndarray, history: np.ndarray, season: int = 1) -> float:
    """Return the mean absolute error relative to that of repeating the value a season ago.

    `history` (steps,) is the training series on which the repetition is scored (Hyndman and Koehler
    2006). Below 1 the forecast is better than the repetition was.

    Raises:
        ValueError: the history is not longer than a season, or repeats itself exactly.
    """
    if len(history) <= season:
        raise ValueError(f"the history has {len(history)} steps, not more than a season: {season}")
    scale = np.abs(history[season:] - history[:-season]).mean()
    if not scale:
        raise ValueError("the history repeats itself exactly: there is no error to compare with")
    return float(np.abs(y_true - y_pred).mean() / scale)


def coverage(y_true: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Return the share of values inside their intervals, ends included."""
    return float(np.mean((low <= y_true) & (y_true <= high)))
