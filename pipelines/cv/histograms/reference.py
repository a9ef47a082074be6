"""OpenCV's functions for the same methods, which own code is compared with."""

import cv2
import numpy as np

from .enhancing import METHODS, Method


def opencv_clahe(gray: np.ndarray, clip: float, tiles: int) -> np.ndarray:
    """Return gray values after OpenCV's CLAHE."""
    return np.asarray(cv2.createCLAHE(clip, (tiles, tiles)).apply(gray))


OPENCV: dict[str, Method] = {
    "none": METHODS["none"],
    "equalize": lambda gray, clip, tiles: np.asarray(cv2.equalizeHist(gray)),
    "clahe": opencv_clahe,
}


def identical_share(grays: list[np.ndarray]) -> float:
    """Return the share of results that equal OpenCV's in every value, at several settings."""
    settings = [("equalize", 0.0, 1), *(("clahe", c, t) for c in (1.0, 2.0, 8.0) for t in (3, 8))]
    same = [
        np.array_equal(METHODS[name](gray, clip, tiles), OPENCV[name](gray, clip, tiles))
        for name, clip, tiles in settings
        for gray in grays
    ]
    return float(np.mean(same))
