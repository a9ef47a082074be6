"""Scores of found shapes and edges against the true ones."""

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from slipway.media import Box
from slipway.media.boxes import box_overlaps

# A found shape is the true one if their boxes overlap by at least this share.
OVERLAP = 0.5
# An edge may lie so many pixels beside the true one.
NEAR = 2.0


def corners(boxes: Sequence[Box]) -> np.ndarray:
    """Return boxes as (n, 4)."""
    return np.array([(each.x1, each.y1, each.x2, each.y2) for each in boxes]).reshape(-1, 4)


def shape_counts(found: Sequence[Box], true: Sequence[Box]) -> np.ndarray:
    """Return how many shapes of a picture have the right place and name, are found, and true.

    Each true shape takes the found one that overlaps it most; a shape of another name counts as
    found and as wrong.
    """
    named = 0
    if found and true:
        overlaps = box_overlaps(corners(true), corners(found))
        for place, best in enumerate(overlaps.argmax(axis=1)):
            near = overlaps[place, best] >= OVERLAP
            named += bool(near and found[best].label == true[place].label)
    return np.array([named, len(found), len(true)], dtype=np.float64)


def f1(counts: np.ndarray) -> float:
    """Return the F1 score of counts (rows, 3) of right, found and true ones, summed over rows."""
    right, found, true = counts.sum(axis=0)
    return float(2 * right / (found + true)) if found + true else 1.0


def edge_counts(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return right and all found pixels, and matched and all true ones (4,), of bool pictures."""
    near_true = _distance(true) <= NEAR
    near_found = _distance(found) <= NEAR
    return np.array(
        [(found & near_true).sum(), found.sum(), (true & near_found).sum(), true.sum()],
        dtype=np.float64,
    )


def _distance(edges: np.ndarray) -> np.ndarray:
    """Return each pixel's distance to the next edge; without edges, all are far."""
    if not edges.any():
        return np.full(edges.shape, np.inf)
    return cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def edge_f1(counts: np.ndarray) -> float:
    """Return the F1 score of edge counts (rows, 4), summed over rows."""
    right, found, matched, true = counts.sum(axis=0)
    precision, recall = right / max(found, 1), matched / max(true, 1)
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def confusion(
    found: Sequence[Sequence[Box]], true: Sequence[Sequence[Box]]
) -> Counter[tuple[str, str]]:
    """Count the names that each true shape got; `none` where nothing was found."""
    counts: Counter[tuple[str, str]] = Counter()
    for seen, shapes in zip(found, true, strict=True):
        overlaps = box_overlaps(corners(shapes), corners(seen))
        for place, shape in enumerate(shapes):
            best = int(overlaps[place].argmax()) if seen else 0
            near = bool(seen) and overlaps[place, best] >= OVERLAP
            counts[shape.label, seen[best].label if near else "none"] += 1
    return counts
