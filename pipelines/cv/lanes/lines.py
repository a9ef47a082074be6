"""From edges to one line on each side of the lane: vote, combine, extrapolate, and rate."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import BaseModel

from .edges import Region, find_edges, paint
from .hough import Peak, find_peaks, vote

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
# Degrees of a line's normal: the left line leans to the right by 22 to 72 degrees.
ANGLES = {"left": np.deg2rad(np.arange(22.0, 73.0)), "right": -np.deg2rad(np.arange(22.0, 73.0))}
LEAST_VOTES, MOST_PEAKS = 20, 10
# Where a lane line may be, as shares of the width: at the top of the region, and at the bottom of
# the picture on the left side; the right one mirrors it.
AT_TOP, AT_BOTTOM = (0.3, 0.7), (-0.6, 0.5)
# Least squares: pixels at the region's top and bottom from which edges are taken, and repeats.
REACH, REPEATS, LEAST_EDGES = (6.0, 18.0), 4, 10
# Paint this many pixels from a line supports it.
NEAR = 3
# Lines cover a few hundredths of a road. Where more than the first share looks like paint, there
# are other patterns, and lines are less certain; from the second one on there are none.
PATTERN = (0.05, 0.1)


class LaneRecipe(BaseModel):
    """The settings by which lanes are found; `fit` chooses them."""

    mask: str = "gray"
    """The mask whose edges are taken: gray, color or local."""
    combine: str = "average"
    """The way from the lines of one side to one line: average, median or squares."""
    rate: float = 1.0
    """Share of each new frame of a video in the lines; 1 forgets the frames before."""
    min_confidence: float = 0.0


@dataclass(frozen=True)
class Line:
    """A lane line: x at the top of the region and at the bottom of the picture, in pixels."""

    top: float
    bottom: float
    confidence: float = 1.0
    """Share of the region's rows with paint on the line, less where everything looks like paint."""

    def x_at(self, y: np.ndarray | float, rows: tuple[float, float]) -> np.ndarray:
        """Return x at `y`; `rows` are those of `top` and `bottom`."""
        share = (np.asarray(y) - rows[0]) / max(rows[1] - rows[0], 1)
        return np.asarray(self.top + share * (self.bottom - self.top))


Lines = dict[Side, Line]


def find_lines(picture: np.ndarray, recipe: LaneRecipe, region: Region) -> tuple[Lines, np.ndarray]:
    """Return the lane's lines in a picture (height, width, 3), certain or not, and the edges."""
    painted = paint(picture, region)
    edges = find_edges(picture, painted, recipe.mask, region)
    inside = region.mask(picture.shape)
    share = (painted & inside).sum() / max(inside.sum(), 1)
    plainness = np.interp(share, PATTERN, (1.0, 0.0))
    found: Lines = {}
    for side in SIDES:
        line = _side_line(edges, side, recipe.combine, region)
        if line is not None:
            confidence = float(plainness * support(line, painted, region))
            found[side] = replace(line, confidence=confidence)
    return found, edges


def end_rows(height: int, region: Region) -> tuple[float, float]:
    """Return the rows at which lines begin and end: the region's top and the picture's bottom."""
    return float(region.rows(height)[0]), height - 1.0


def _side_line(edges: np.ndarray, side: Side, combine: str, region: Region) -> Line | None:
    """Return the line on one side, or None if no line has enough votes there."""
    angles, (height, width) = ANGLES[side], edges.shape
    peaks = find_peaks(vote(edges, angles), angles, least=LEAST_VOTES, most=MOST_PEAKS)
    ends = np.array([[each.x_at(y) for y in end_rows(height, region)] for each in peaks])
    kept = [number for number, each in enumerate(ends) if _is_plausible(each / width, side)]
    if not kept:
        return None
    if combine == "squares":
        return _least_squares(Line(*ends[kept[0]]), edges, region)
    return Line(*_combined(ends[kept], [peaks[each] for each in kept], combine))


def _is_plausible(ends: np.ndarray, side: Side) -> bool:
    """Return whether a line with these ends, as shares of the width, may belong to the lane."""
    top, bottom = ends if side == "left" else 1 - ends
    return bool(AT_TOP[0] < top < AT_TOP[1] and AT_BOTTOM[0] < bottom < AT_BOTTOM[1])


def _combined(ends: np.ndarray, peaks: list[Peak], combine: str) -> tuple[float, float]:
    """Return the mean or the median (2,) of ends (lines, 2), weighted by votes."""
    votes = np.array([each.votes for each in peaks], dtype=np.float64)
    if combine == "average":
        top, bottom = np.average(ends, axis=0, weights=votes).tolist()
    else:
        top, bottom = (weighted_median(values, votes) for values in ends.T)
    return top, bottom


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the value below which half of the weight lies."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _least_squares(line: Line, edges: np.ndarray, region: Region) -> Line:
    """Return the line through the edges near it, by repeated least squares.

    Paint has an edge on both sides, so the line moves to its center.
    """
    first, last = end_rows(edges.shape[0], region)
    rows, columns = np.nonzero(edges)
    reach = np.interp(rows, (first, last), REACH)
    for _ in range(REPEATS):
        near = np.abs(columns - line.x_at(rows, (first, last))) < reach
        if near.sum() < LEAST_EDGES:
            break
        slope, offset = np.polyfit(rows[near], columns[near], 1)
        line = Line(slope * first + offset, slope * last + offset)
    return line


def support(line: Line, painted: np.ndarray, region: Region) -> float:
    """Return the share of the region's rows in which paint lies on the line."""
    height, width = painted.shape
    rows = np.arange(*region.rows(height))
    if not len(rows):
        return 0.0
    centers = np.rint(line.x_at(rows, end_rows(height, region))).astype(np.int64)
    columns = centers[:, None] + np.arange(-NEAR, NEAR + 1)
    inside = (columns >= 0) & (columns < width)
    on_line = painted[rows[:, None], np.clip(columns, 0, width - 1)] & inside
    return float(on_line.any(axis=1).mean())
