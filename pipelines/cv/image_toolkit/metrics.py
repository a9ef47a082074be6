"""Measures of equality with OpenCV's pictures."""

from collections.abc import Sequence

import numpy as np

from slipway.media import decode_image
from slipway.statistics.proportions import wilson

from .model import Expected


def largest_differences(pictures: Sequence[np.ndarray], labels: Sequence[Expected]) -> np.ndarray:
    """Return for each picture the largest difference of a value (0 to 255) from OpenCV's."""
    return np.array(
        [
            largest_difference(
                picture, decode_image(label.image, "L" if picture.ndim == 2 else "RGB")
            )
            for picture, label in zip(pictures, labels, strict=True)
        ]
    )


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    """Return the largest difference of a value, 255 if the pictures have different sizes."""
    if one.shape != other.shape:
        return 255
    return int(np.abs(one.astype(np.int16) - other).max())


def equality_metrics(largest: np.ndarray, kinds: Sequence[str]) -> dict[str, float]:
    """Return the share of pictures that are identical with OpenCV's, and the largest difference.

    HSV to RGB is not among the identical ones: OpenCV itself rounds some pixels of a row and cuts
    the digits off others. Its difference is `hsv_to_rgb_largest`.
    """
    back = np.array([each == "hsv_to_rgb" for each in kinds])
    identical = largest[~back] == 0
    return {
        "identical_share": float(identical.mean()),
        "largest_difference": float(largest[~back].max()),
        "hsv_to_rgb_largest": float(largest[back].max()) if back.any() else 0.0,
    }


def identical_interval(largest: np.ndarray, kinds: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of the share of identical pictures (Wilson 1927)."""
    counted = [each == 0 for each, kind in zip(largest, kinds, strict=True) if kind != "hsv_to_rgb"]
    return wilson((sum(counted), len(counted)), coverage=0.95)
