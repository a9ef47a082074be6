"""Probabilities calibrated by a straight line in the log odds (Platt 1999)."""

import numpy as np


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return the log odds of probabilities (rows,), clipped to 1e-6 and 1 - 1e-6.

    float32 has no more digits near 1.
    """
    clipped = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))


def calibrated(probabilities: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return probabilities (rows,) calibrated by the line that `slipway.training.platt` fits."""
    return np.asarray(1 / (1 + np.exp(-(slope * log_odds(probabilities) + intercept))))
