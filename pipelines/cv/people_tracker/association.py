"""Decide which detection is which tracked person."""

import numpy as np

from slipway.kits.tracking.assignment import assign_pairs
from slipway.media import box_overlaps

from .kalman import Motion, to_center

# Least overlap of a prediction with its detection, as in SORT (Bewley et al. 2016).
OVERLAP = 0.3
# 99 % of the squared distances of two normal variables, in units of their variances (chi-square).
DISTANCE = 9.21
# Largest ratio between the heights of a lost person and of the one who reappears.
GROWTH = 1.5


def match_overlaps(boxes: np.ndarray, detections: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of predicted boxes (n, 4) and detections (m, 4) that overlap the most."""
    overlaps = box_overlaps(boxes, detections)
    # Pairs that may not match must not decide between those that may.
    cost = np.where(overlaps >= OVERLAP, 1 - overlaps, 1.0)
    return [pair for pair in assign_pairs(cost) if overlaps[pair] >= OVERLAP]


def match_distances(
    motion: Motion, rows: np.ndarray, detections: np.ndarray
) -> list[tuple[int, int]]:
    """Return pairs of the lost people in `rows` (n,) and detections (m, 4) near where they must be.

    How far is near says the filter: its variance grows with every frame without a detection.
    """
    found = to_center(detections)
    expected = motion.mean[rows, :, 0]
    difference = found[None, :, :2] - expected[:, None, :2]
    distance = (difference**2 / motion.measured_variance(rows)[:, None, :2]).sum(axis=2)
    heights = np.maximum(found[:, 3], 1.0)
    growth = np.abs(np.log(heights[None, :] / expected[:, None, 3]))
    allowed = (distance <= DISTANCE) & (growth <= np.log(GROWTH))
    cost = np.where(allowed, distance, 2 * DISTANCE)
    return [pair for pair in assign_pairs(cost) if allowed[pair]]
