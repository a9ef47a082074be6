"""Decides which found faces and eyes are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slipway.media import Box, Point, box_overlaps

OVERLAP = 0.5
# An eye may be off by this share of the distance between the two: the point is still on the eye.
NEAR = 0.15


@dataclass(frozen=True)
class Counts:
    """Marked, found and right ones of one picture."""

    marked: int
    found: int
    right: int


def corners(boxes: Sequence[Box]) -> np.ndarray:
    """Return the boxes as an array (n, 4)."""
    return np.array([[each.x1, each.y1, each.x2, each.y2] for each in boxes]).reshape(-1, 4)


def matched(marked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return for each found square (n, 4), the surest first, the marked one that it is, or -1.

    Each marked square counts once; the two overlap by half.
    """
    overlaps, result = box_overlaps(found, marked), np.full(len(found), -1)
    for place, row in enumerate(overlaps):
        row[result[result >= 0]] = 0
        if row.size and row.max() >= OVERLAP:
            result[place] = row.argmax()
    return result


def face_counts(marked: Sequence[Box], found: Sequence[Box]) -> Counts:
    """Return how many faces of one picture are right."""
    right = matched(corners(marked), corners(found)) >= 0
    return Counts(len(marked), len(found), int(right.sum()))


def eye_counts(marked: Sequence[Point], found: Sequence[Point]) -> Counts:
    """Return how many eyes of one picture are right; `marked` holds left and right in turn."""
    true = np.array([[each.x, each.y] for each in marked]).reshape(-1, 2, 2)
    seen = np.array([[each.x, each.y] for each in found]).reshape(-1, 2)
    apart = np.hypot(*(true[:, 1] - true[:, 0]).T)
    distances = np.hypot(*np.moveaxis(true.reshape(-1, 1, 2) - seen[None], 2, 0))
    near = distances <= NEAR * np.repeat(apart, 2)[:, None]
    return Counts(2 * len(true), len(seen), int(near.any(axis=1).sum()))


def shares(counts: Sequence[Counts]) -> tuple[float, float]:
    """Return recall and precision over all pictures; 0 where nothing was marked or found."""
    marked, found, right = (
        sum(getattr(each, name) for each in counts) for name in ("marked", "found", "right")
    )
    return right / max(marked, 1), right / max(found, 1)


def f1(counts: Sequence[Counts]) -> float:
    """Return the harmonic mean of recall and precision."""
    recall, precision = shares(counts)
    return 2 * recall * precision / max(recall + precision, 1e-12)
