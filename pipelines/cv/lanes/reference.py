"""The plain method to compare with: OpenCV's line segments, the longest one of each side."""

import cv2
import numpy as np

from .edges import Region, find_edges
from .lines import Line, Lines, Side, end_rows

VOTES, LEAST_LENGTH, LARGEST_GAP = 20, 20, 20
# Columns per row of the segments of lanes, either way.
SLOPES = (0.4, 3.2)


def longest_segments(picture: np.ndarray, region: Region) -> Lines:
    """Return the longest of cv2.HoughLinesP's segments on each side, extended to a line."""
    nothing = np.zeros(picture.shape[:2], bool)
    edges = find_edges(picture, nothing, "gray", region).astype(np.uint8) * 255
    segments = cv2.HoughLinesP(edges, 1, np.pi / 180, VOTES, None, LEAST_LENGTH, LARGEST_GAP)
    first, last = end_rows(picture.shape[0], region)
    found: Lines = {}
    longest = {"left": 0.0, "right": 0.0}
    for x1, y1, x2, y2 in np.reshape(segments if segments is not None else [], (-1, 4)).tolist():
        slope = (x2 - x1) / (y2 - y1) if y1 != y2 else np.inf
        length = float(np.hypot(x2 - x1, y2 - y1))
        side: Side = "left" if slope < 0 else "right"
        if SLOPES[0] < abs(slope) < SLOPES[1] and length > longest[side]:
            longest[side] = length
            found[side] = Line(x1 + slope * (first - y1), x1 + slope * (last - y1))
    return found
