"""A linear classifier that slides over a picture at every scale."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import PIL.Image

from slipway.media import box_overlaps, nms

from .hog import BINS, BLOCK, CELL, block_features

WINDOW = 32
"""Pixels a side of the window; the face fills it."""
SIDE = WINDOW // CELL - BLOCK + 1
"""Blocks a side of the window."""
FEATURES = SIDE * SIDE * BLOCK * BLOCK * BINS
GROWTH = 1.15
"""Ratio of successive sizes that are looked for."""
OVERLAP = 0.3
"""Intersection over union above which the weaker of two windows is dropped."""
AGREEMENT = 0.6
"""Intersection over union above which two windows agree."""
# Non-maximum suppression compares each window with the others.
MOST = 1500
Blocks = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Linear:
    """A linear classifier of windows: positive for a face."""

    weights: np.ndarray
    """(SIDE, SIDE, 36)."""
    intercept: float

    @classmethod
    def from_array(cls, values: np.ndarray) -> "Linear":
        """Return the classifier whose weights and intercept are in one array (FEATURES + 1,)."""
        return cls(values[:-1].reshape(SIDE, SIDE, -1), float(values[-1]))

    def to_array(self) -> np.ndarray:
        """Return weights and intercept in one array (FEATURES + 1,)."""
        return np.append(self.weights, self.intercept)

    def scores(self, blocks: np.ndarray) -> np.ndarray:
        """Return the score of every window, given the blocks (rows, columns, 36) of a picture.

        Windows lie one cell apart. Each block is multiplied with the weights of every place that
        it can have in a window, and the products are added: a convolution.
        """
        rows, columns = blocks.shape[0] - SIDE + 1, blocks.shape[1] - SIDE + 1
        if rows < 1 or columns < 1:
            return np.empty((0, 0))
        products = blocks @ self.weights.reshape(SIDE * SIDE, -1).T
        total = np.full((rows, columns), self.intercept)
        for place in range(SIDE * SIDE):
            down, right = divmod(place, SIDE)
            total += products[down : down + rows, right : right + columns, place]
        return total


def pyramid(gray: np.ndarray, min_face: float) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the picture at each size with its scale, until the window no longer fits.

    At the first one, a face of `min_face` pixels fills the window. It may be an enlarged picture.
    """
    scale = WINDOW / min_face
    while True:
        width, height = (round(side * scale) for side in (gray.shape[1], gray.shape[0]))
        if min(width, height) < WINDOW:
            return
        resized = PIL.Image.fromarray(gray).resize((width, height), PIL.Image.Resampling.BILINEAR)
        yield np.asarray(resized), scale
        scale /= GROWTH


def windows(
    gray: np.ndarray,
    classifier: Linear,
    *,
    min_face: float,
    threshold: float,
    blocks: Blocks = block_features,
) -> tuple[np.ndarray, np.ndarray]:
    """Return squares (n, 4) whose score exceeds `threshold`, and their scores; they overlap."""
    boxes, scores = [np.empty((0, 4))], [np.empty(0)]
    for level, scale in pyramid(gray, min_face):
        found = classifier.scores(blocks(level))
        row, column = np.nonzero(found > threshold)
        corner = np.stack([column, row], axis=1) * CELL
        boxes.append(np.hstack([corner, corner + WINDOW]) / scale)
        scores.append(found[row, column])
    return np.concatenate(boxes), np.concatenate(scores)


def find(
    gray: np.ndarray,
    classifier: Linear,
    *,
    min_face: float,
    threshold: float,
    blocks: Blocks = block_features,
) -> tuple[np.ndarray, np.ndarray]:
    """Return one square (n, 4) for each face and its value, the best first.

    The value is the logarithm of what the windows that agree with it exceed the threshold by.
    """
    boxes, scores = windows(gray, classifier, min_face=min_face, threshold=threshold, blocks=blocks)
    best = np.argsort(-scores, kind="stable")[:MOST]
    boxes, scores = boxes[best], scores[best]
    # Around a face many windows are positive, around a mistake few.
    agreeing = (box_overlaps(boxes, boxes) > AGREEMENT) @ (scores - threshold)
    kept = nms(boxes, agreeing, iou=OVERLAP)
    return boxes[kept], np.log(np.maximum(agreeing[kept], 1e-9))
