"""The scales of the readings, shared by training and serving."""

import numpy as np

USUAL, SPREAD = 18.0, 3.0


def scaled(degrees: np.ndarray) -> np.ndarray:
    """Return temperatures in degrees as float32 of about 1."""
    return ((degrees - USUAL) / SPREAD).astype(np.float32)
