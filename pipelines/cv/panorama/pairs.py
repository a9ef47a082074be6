"""Real pairs of photographs: a wall from two sides with its homography, and a street."""

import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np

from slipway.datasets import fetch
from slipway.media import decode_image

from .homography import project
from .matching import REACH, find_keypoints, pair
from .placing import corners


def read_pairs() -> dict[str, list[np.ndarray]]:
    """Return both pairs of photographs (height, width, 3)."""
    first, second = fetch("opencv_samples"), fetch("opencv_photo_pairs")
    files = {
        "a wall from two sides": (first.path("graf1.png"), second.path("graf3.png")),
        "a street": (first.path("leuvenA.jpg"), second.path("leuvenB.jpg")),
    }
    return {
        name: [decode_image(file.read_bytes()) for file in both] for name, both in files.items()
    }


def wall_homography() -> np.ndarray:
    """Return the homography (3, 3) from the first to the second photograph of the wall."""
    text = fetch("opencv_photo_pairs").path("H1to3p.xml").read_text()
    found = ElementTree.fromstring(text).find(".//data")
    if found is None or found.text is None:
        raise ValueError("opencv_photo_pairs: H1to3p.xml holds no matrix")
    return np.array(found.text.split(), dtype=np.float64).reshape(3, 3)


def wall_errors() -> dict[str, float]:
    """Return the mean corner error in pixels of the wall's homography, own and by OpenCV.

    Both start from the same matches of SIFT.
    """
    photos = next(iter(read_pairs().values()))
    one, other = (find_keypoints(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), "sift") for each in photos)
    found = pair(one, other, refined=True)
    if found.consensus is None:
        return {}
    opencv, _ = cv2.findHomography(found.source, found.target, cv2.RANSAC, REACH)
    ends = corners(photos[0].shape[1::-1])
    expected = project(wall_homography(), ends)
    return {
        name: float(np.hypot(*(project(matrix, ends) - expected).T).mean())
        for name, matrix in (("wall_error", found.consensus.matrix), ("wall_error_opencv", opencv))
    }
