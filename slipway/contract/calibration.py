"""Probabilities made true by a straight line in the log odds (Platt 1999)."""

import numpy as np


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Of probabilities (rows,), kept within 1e-6 and 1 - 1e-6.

    float32 has no more digits near 1.
    """
    held = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(held / (1 - held)))


def calibrated(probabilities: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Probabilities (rows,) moved along the line that `slipway.training.tabular.platt` fitted."""
    return np.asarray(1 / (1 + np.exp(-(slope * log_odds(probabilities) + intercept))))
