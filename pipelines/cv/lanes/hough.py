"""The Hough transform in NumPy: each edge pixel votes for all straight lines through it.

A line is the pixels with x cos(angle) + y sin(angle) = distance. Duda and Hart, Use of the Hough
transformation to detect lines and curves in pictures (1972). Votes are equal to cv2.HoughLines'.
"""

from dataclasses import dataclass

import numpy as np

# Two peaks differ by more than so many pixels or degrees: a line's votes spread a little.
APART = (6, 3)


@dataclass(frozen=True)
class Peak:
    """A line with many votes: its distance from the corner in pixels, and its angle in radians."""

    distance: float
    angle: float
    votes: int

    def x_at(self, y: float) -> float:
        """Return where the line crosses a row; it must not be horizontal."""
        return float((self.distance - y * np.sin(self.angle)) / np.cos(self.angle))


def all_degrees() -> np.ndarray:
    """Return 180 angles (180,) in steps of a degree, in radians, added up as OpenCV does."""
    steps = np.full(180, np.pi / 180, dtype=np.float32)
    steps[0] = 0
    return np.cumsum(steps, dtype=np.float32).astype(np.float64)


def vote(edges: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return the votes (distances, angles) of edges, bool (height, width), int64.

    Distances are whole pixels, from -(height + width) to height + width. Angles are in radians.
    """
    farthest = sum(edges.shape)
    rows, columns = (each.astype(np.float32)[:, None] for each in np.nonzero(edges))
    # In 32 bits, as OpenCV computes them: halves are rounded to the same side.
    cosines, sines = (each(angles).astype(np.float32) for each in (np.cos, np.sin))
    distances = np.rint(columns * cosines + rows * sines).astype(np.int64) + farthest
    cells = distances * len(angles) + np.arange(len(angles))
    votes = np.bincount(cells.ravel(), minlength=(2 * farthest + 1) * len(angles))
    return np.asarray(votes.reshape(-1, len(angles)))


def find_peaks(votes: np.ndarray, angles: np.ndarray, *, least: int, most: int) -> list[Peak]:
    """Return at most `most` lines with at least `least` votes, the one with the most votes first.

    Around each peak the votes are taken away, so that a line is not found twice.
    """
    left, farthest, found = votes.copy(), len(votes) // 2, []
    for _ in range(most):
        row, column = np.unravel_index(left.argmax(), left.shape)
        if left[row, column] < least:
            break
        peak = Peak(float(row - farthest), float(angles[column]), int(left[row, column]))
        found.append(peak)
        around = (
            slice(max(at - reach, 0), at + reach + 1)
            for at, reach in zip((int(row), int(column)), APART, strict=True)
        )
        left[tuple(around)] = 0
    return found
