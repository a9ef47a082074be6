"""Boxes from the network's grid of cells."""

from collections.abc import Sequence

import numpy as np

from slipway.kits.detection.record import Placement
from slipway.media import Box, nms

# More objects than this are not in a picture that a person would mark by hand.
MOST = 200


def decode_boxes(
    heat: np.ndarray,
    sides: np.ndarray,
    placement: Placement,
    labels: Sequence[str],
    *,
    min_score: float,
    iou: float = 0.5,
) -> list[Box]:
    """Return the objects of one picture, the surest first.

    `heat` (labels, height, width) is the probability that the middle of an object is in a cell, and
    `sides` (4, height, width) are the distances of its left, top, right and bottom side from the
    middle of the cell, in pixels of the frame. Of boxes of one label that overlap by more than
    `iou`, the surest stays.
    """
    label, row, column = np.nonzero((heat >= min_score) & (heat >= _highest_around(heat)))
    scores = heat[label, row, column]
    order = np.argsort(-scores, kind="stable")[:MOST]
    label, row, column, scores = label[order], row[order], column[order], scores[order]
    high, wide = (side / cells for side, cells in zip(placement.frame, heat.shape[1:], strict=True))
    across, down = (column + 0.5) * wide, (row + 0.5) * high
    left, top, right, bottom = sides[:, row, column]
    frame = np.stack([across - left, down - top, across + right, down + bottom], axis=1)
    boxes = placement.to_picture(frame.astype(np.float64))
    kept = nms(boxes, scores, iou, classes=label)
    return [
        Box(x1=x1, y1=y1, x2=x2, y2=y2, label=labels[label[place]], score=min(scores[place], 1.0))
        for place, (x1, y1, x2, y2) in zip(kept, boxes[kept].tolist(), strict=True)
        if x2 > x1 and y2 > y1
    ]


def _highest_around(heat: np.ndarray) -> np.ndarray:
    """Return the highest value of each cell and its eight neighbors, by label."""
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.asarray(windows.max(axis=(3, 4)))
