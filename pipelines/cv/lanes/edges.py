"""Edges of lane paint: three kinds of masks, Canny's edges of them, and the region of interest."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

# Canny's thresholds, for slopes of a picture smoothed by 5 x 5 pixels: a step of about 20 levels.
LOW, HIGH = 50, 150
# Of white and yellow paint in daylight, in OpenCV's hue, lightness and saturation.
WHITE_LIGHTNESS = 200
YELLOW_HUES, YELLOW_LIGHTNESS, YELLOW_SATURATION = (15, 35), 60, 100
# Paint is brighter or yellower than the road beside it by so many levels.
CONTRAST = 20
# The region's width, as shares of the picture's: far away, and near the car.
FAR_WIDTH, NEAR_WIDTH = 0.2, 1.0
# The distance of the compared road, for each row below the horizon; a line is about as wide.
PAINT_WIDTH, LEAST_WIDTH = 0.09, 3
# The horizon lies above the region, by this share of the height.
ABOVE = 0.04


@dataclass(frozen=True)
class Region:
    """The rows in which lanes are looked for, as shares of the height."""

    top: float = 0.62
    bottom: float = 0.93

    def rows(self, height: int) -> tuple[int, int]:
        """Return the first row, and the one after the last."""
        return round(self.top * height), max(round(self.bottom * height), round(self.top * height))

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the trapezoid of the road ahead, bool (height, width)."""
        height, width = shape[:2]
        first, last = self.rows(height)
        far, near = FAR_WIDTH / 2, NEAR_WIDTH / 2
        corners = [(0.5 - near, last), (0.5 - far, first), (0.5 + far, first), (0.5 + near, last)]
        points = np.array([(x * width, y) for x, y in corners]).round().astype(np.int32)
        inside = np.zeros((height, width), np.uint8)
        cv2.fillPoly(inside, [points], (1,))
        return inside > 0


def gray_levels(picture: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Return the brightness: edges of everything."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def color_mask(picture: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Return 255 where the picture is white or yellow, by fixed thresholds."""
    hue, lightness, saturation = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HLS))
    yellow = (hue >= YELLOW_HUES[0]) & (hue <= YELLOW_HUES[1])
    yellow &= (lightness > YELLOW_LIGHTNESS) & (saturation > YELLOW_SATURATION)
    return np.where(yellow | (lightness > WHITE_LIGHTNESS), 255, 0).astype(np.uint8)


def local_mask(picture: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Return 255 where the picture is brighter or yellower than the road on both sides."""
    return np.where(painted, 255, 0).astype(np.uint8)


def paint(picture: np.ndarray, region: Region) -> np.ndarray:
    """Return which pixels have less bright or less yellow ones on both sides, bool.

    They are compared at the distance of a line's width, which grows from the horizon downwards.
    """
    height, width = picture.shape[:2]
    first, last = region.rows(height)
    red, green, blue = np.moveaxis(picture[first:last].astype(np.int16), 2, 0)
    below = np.arange(first, last) - (region.top - ABOVE) * height
    reach = np.maximum(PAINT_WIDTH * below, LEAST_WIDTH).round().astype(np.int64)[:, None]
    columns = np.arange(width)
    sides = [np.clip(columns + side * reach, 0, width - 1) for side in (-1, 1)]
    found = np.zeros((height, width), bool)
    for levels in (np.minimum(np.minimum(red, green), blue), (red + green) // 2 - blue):
        beside = np.maximum(*(np.take_along_axis(levels, each, axis=1) for each in sides))
        found[first:last] |= levels - beside > CONTRAST
    return found


MASKS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gray": gray_levels,
    "color": color_mask,
    "local": local_mask,
}


def find_edges(picture: np.ndarray, painted: np.ndarray, mask: str, region: Region) -> np.ndarray:
    """Return Canny's edges inside of the region, bool (height, width), of a picture in RGB.

    `painted` are the pixels that look like paint, bool (height, width).
    """
    smooth = cv2.GaussianBlur(MASKS[mask](picture, painted), (5, 5), 0)
    found = np.asarray(cv2.Canny(smooth, LOW, HIGH)) > 0
    return np.asarray(found & region.mask(picture.shape))
