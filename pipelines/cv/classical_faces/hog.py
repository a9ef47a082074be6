"""Histograms of oriented gradients in NumPy (Dalal and Triggs 2005)."""

import numpy as np

CELL = 4
"""Pixels a side of a cell."""
BINS = 9
"""Directions of a histogram, 20 degrees each; light to dark and dark to light are the same."""
BLOCK = 2
"""Cells a side of a block, within which contrast is normalized."""
CLIP, EPSILON = 0.2, 1e-5


def gradients(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return strength and direction (degrees from 0 to 180) of the change at each pixel.

    At the border, where a neighbor is missing, the change across it counts as 0.
    """
    levels = gray.astype(np.float64)
    down, right = np.zeros_like(levels), np.zeros_like(levels)
    down[1:-1] = levels[2:] - levels[:-2]
    right[:, 1:-1] = levels[:, 2:] - levels[:, :-2]
    return np.hypot(down, right), np.rad2deg(np.arctan2(down, right)) % 180


def cell_histograms(gray: np.ndarray) -> np.ndarray:
    """Return the mean strength of each direction in each cell, (rows, columns, 9).

    Pixels of the last, incomplete cells are left out.
    """
    strength, direction = gradients(gray)
    rows, columns = gray.shape[0] // CELL, gray.shape[1] // CELL
    inside = np.s_[: rows * CELL, : columns * CELL]
    bins = np.minimum(direction[inside] * (BINS / 180), BINS - 1).astype(np.int64)
    row, column = np.indices(bins.shape) // CELL
    places = (row * columns + column) * BINS + bins
    sums = np.bincount(places.ravel(), strength[inside].ravel(), rows * columns * BINS)
    return sums.reshape(rows, columns, BINS) / CELL**2


def block_features(gray: np.ndarray) -> np.ndarray:
    """Return the normalized histograms of each block, (rows - 1, columns - 1, 36).

    A block has length 1; what exceeds 0.2 is cut off, and the length is made 1 again, so that a
    single strong edge does not decide.
    """
    cells = cell_histograms(gray)
    parts = [cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]]
    blocks = np.concatenate(parts, axis=2)
    blocks /= np.sqrt((blocks**2).sum(axis=2, keepdims=True) + EPSILON**2)
    np.minimum(blocks, CLIP, out=blocks)
    blocks /= np.sqrt((blocks**2).sum(axis=2, keepdims=True) + EPSILON**2)
    return blocks
