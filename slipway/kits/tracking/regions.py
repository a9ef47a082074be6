"""Erosion, dilation and connected regions of masks (height, width) of bool."""

from dataclasses import dataclass

import cv2
import numpy as np

# A picture with more regions is noise; the largest are kept, so that tracking stays fast.
MOST_REGIONS = 64


@dataclass(frozen=True)
class Regions:
    """Connected regions, the largest first: `boxes` (n, 4) and `areas` (n,) in pixels."""

    boxes: np.ndarray
    areas: np.ndarray


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return where the mask is true anywhere in the square of `radius` around a pixel."""
    return _spread(_spread(mask, radius).T, radius).T


def erode(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return where the mask is true everywhere in the square; outside of the picture counts."""
    return np.asarray(~dilate(~mask, radius))


def opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the mask without parts that are narrower than the square: erosion, then dilation."""
    return dilate(erode(mask, radius), radius) if radius else mask


def closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the mask with gaps filled into which the square does not fit."""
    return erode(dilate(mask, radius), radius) if radius else mask


def find_regions(mask: np.ndarray, least_area: float) -> Regions:
    """Return the regions of at least `least_area` pixels; pixels touch also at their corners."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    stats = np.asarray(stats[1:count], dtype=np.float64)
    stats = stats[stats[:, cv2.CC_STAT_AREA] >= least_area]
    order = np.argsort(-stats[:, cv2.CC_STAT_AREA], kind="stable")[:MOST_REGIONS]
    upper, size = stats[order, :2], stats[order, 2:4]
    return Regions(np.concatenate([upper, upper + size], axis=1), stats[order, 4])


def _spread(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return where the mask is true in the 2 `radius` + 1 pixels of the row around each pixel.

    A window is doubled until it has this length, so the work grows with its logarithm.
    """
    width, length, wanted = mask.shape[1], 1, 2 * radius + 1
    result = np.pad(mask, ((0, 0), (radius, radius)))
    while length < wanted:
        step = min(length, wanted - length)
        result = result[:, :-step] | result[:, step:]
        length += step
    return np.asarray(result[:, :width])
