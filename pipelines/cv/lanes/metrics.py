"""Compare lines with the marks by hand: distances, marks found, and how many lines are right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .conditions import CONDITIONS
from .lines import SIDES, Line, Lines, Side
from .model import MarkedFrame, MarkedRoad
from .response import Lanes

# Where lines were marked, as shares of the height.
HEIGHTS = np.array([0.65, 0.7, 0.8, 0.9])
# A mark is found, and a line right, up to this distance, as a share of the width: a twelfth of the
# lane's width far away and a fiftieth near the car, and twice the largest error of the marks.
TOLERANCE = 0.01
# Pixels are those of a picture of this width, that of the clip.
WIDTH = 960

Positions = dict[Side, np.ndarray]
"""x of lines at the heights (4,), as shares of the width."""


@dataclass(frozen=True)
class Comparison:
    """Each mark and each line of some rows, with the place and source that it belongs to."""

    distances: np.ndarray
    """From each mark to the line (marks,), as shares of the width; infinite if there is none."""
    places: np.ndarray
    sources: np.ndarray
    conditions: np.ndarray
    right: np.ndarray
    """True for each line found that is right (lines,)."""
    false: np.ndarray
    """True for each picture without a lane in which a line was found (pictures,)."""

    @classmethod
    def from_rows(cls, labels: Sequence[MarkedRoad], found: Sequence[dict[int, Positions]]) -> Self:
        """Return the comparison of each row's lines by frame."""
        marks, right, false = [], [], []
        for label, lines in zip(labels, found, strict=True):
            for frame in label.frames:
                for side in SIDES:
                    distances = _distances(getattr(frame, side), lines.get(frame.frame, {}), side)
                    marks += [(each, label) for each in distances]
                    if np.isfinite(distances).all():
                        right.append(float(np.mean(distances)) <= TOLERANCE)
            if not label.frames:
                lines_found = sum(len(each) for each in lines.values())
                right += [False] * lines_found
                false.append(lines_found > 0)
        return cls(
            np.array([distance for distance, _ in marks]),
            np.array([label.place for _, label in marks]),
            np.array([label.source for _, label in marks]),
            np.array([label.condition for _, label in marks]),
            np.array(right, dtype=bool),
            np.array(false, dtype=bool),
        )

    def found_share(self, chosen: np.ndarray | slice = slice(None)) -> float:
        """Return the share of the marks that are found."""
        return float(np.mean(self.distances[chosen] <= TOLERANCE))

    def precision(self) -> float:
        """Return the share of the lines that are right, 1 if there are none."""
        return float(self.right.mean()) if len(self.right) else 1.0

    def by_place(self) -> tuple[Callable[[np.ndarray], float], int]:
        """Return the share of marks found in places by their numbers, and how many there are."""
        names = list(dict.fromkeys(self.places.tolist()))
        marks = [np.flatnonzero(self.places == each) for each in names]

        def found(drawn: np.ndarray) -> float:
            return self.found_share(np.concatenate([marks[each] for each in drawn]))

        return found, len(names)

    def metrics(self) -> dict[str, float]:
        """Return shares, and distances in pixels of the marks that have a line."""
        known = self.distances[np.isfinite(self.distances)] * WIDTH
        groups = {
            **{each: self.conditions == each for each in CONDITIONS},
            "pictures": self.sources == "picture",
            "harder": self.sources == "harder",
        }
        groups["unchanged"] = groups["unchanged"] & (self.sources == "clip")
        return {
            "marks_found": self.found_share(),
            **{
                f"marks_found_{name}": self.found_share(chosen)
                for name, chosen in groups.items()
                if chosen.any()
            },
            "line_precision": self.precision(),
            "false_lanes": float(self.false.mean()) if len(self.false) else 0.0,
            "median_pixels": float(np.median(known)) if len(known) else float(WIDTH),
            "mean_pixels": float(np.mean(known)) if len(known) else float(WIDTH),
        }


def _distances(marks: list[float | None], lines: Positions, side: Side) -> list[float]:
    """Return the distances of the marks from a line."""
    if side not in lines:
        return [np.inf for mark in marks if mark is not None]
    pairs = zip(marks, lines[side].tolist(), strict=True)
    return [abs(x - mark) for mark, x in pairs if mark is not None]


def positions(lines: Lines, rows: tuple[float, float], shape: tuple[int, ...]) -> Positions:
    """Return where lines are at the heights, of a picture of this shape (height, width)."""
    height, width = shape[:2]
    return {side: line.x_at(HEIGHTS * height, rows) / width for side, line in lines.items()}


def served_positions(lanes: Lanes, label: MarkedRoad) -> dict[int, Positions]:
    """Return where the served lines are, by frame."""
    found: dict[int, Positions] = {}
    shape = label.height, label.width
    for each in lanes.lines:
        far, near = each.points
        side: Side = "left" if each.label == "left" else "right"
        line = Line(far.x, near.x)
        found.setdefault(each.frame, {}).update(positions({side: line}, (far.y, near.y), shape))
    return found


def baseline_positions(label: MarkedRoad) -> dict[int, Positions]:
    """Return the mean positions of the training marks, for each frame with marks or the first."""
    numbers = [each.frame for each in label.frames] or [0]
    return {number: reference_positions(label.baseline) for number in numbers}


def opencv_positions(label: MarkedRoad) -> dict[int, Positions]:
    """Return what OpenCV's longest segments say, for each frame with marks or the first."""
    return {each.frame: reference_positions(each) for each in label.opencv}


def reference_positions(frame: MarkedFrame) -> Positions:
    """Return the positions of lines that were found."""
    return {side: np.array(each) for side in SIDES if (each := getattr(frame, side))}
