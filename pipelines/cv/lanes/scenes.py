"""The report's pictures: lanes of test pictures, the way to them, and where they are wrong."""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.kits.tracking.camera import shrunk

from .edges import Region, find_edges, paint
from .hough import find_peaks, vote
from .lines import ANGLES, LEAST_VOTES, MOST_PEAKS, SIDES
from .metrics import HEIGHTS, TOLERANCE, WIDTH, Comparison, served_positions
from .model import SIDE, MarkedRoad, RoadView
from .response import Lanes

Row = tuple[RoadView, MarkedRoad, Lanes]
COLORS = {"left": "#d55e00", "right": "#0072b2"}
# The sky is not shown. A panel has about so many pixels.
SKY, PANEL = 0.42, 330


def put(axes: Axes, picture: np.ndarray) -> None:
    """Show a picture in its own coordinates, but small and in few colors, for a small file."""
    height, width = picture.shape[:2]
    few = cv2.medianBlur(shrunk(picture, PANEL), 3) // 16 * 16 + 8
    axes.imshow(few, extent=(0, width, height, 0), interpolation="nearest")


def show(axes: Axes, row: Row, number: int, title: str, sky: float = SKY) -> None:
    """Draw a frame with its lane and lines, and the marks as dots; those not found are red."""
    view, label, found = row
    picture = next(each for frame, each in view.pictures() if frame == number)
    height, width = picture.shape[:2]
    put(axes, picture)
    ends = {
        each.label: np.array([(point.x, point.y) for point in each.points])
        for each in found.lines
        if each.frame == number
    }
    if len(ends) == len(SIDES):
        axes.fill(*np.concatenate([ends["left"], ends["right"][::-1]]).T, "#009e73", alpha=0.3)
    for side, line in ends.items():
        axes.plot(*line.T, color=COLORS[side], linewidth=2)
    positions = served_positions(found, label).get(number, {})
    for frame in label.frames:
        for side, marks in zip(SIDES, (frame.left, frame.right), strict=True):
            for place, (x, y) in enumerate(zip(marks, HEIGHTS, strict=True)):
                if frame.frame != number or x is None:
                    continue
                close = side in positions and abs(positions[side][place] - x) <= TOLERANCE
                color = "white" if close else "red"
                axes.plot(
                    x * width, y * height, "o", color=color, markeredgecolor="black", markersize=4
                )
    axes.set(xlim=(0, width), ylim=(height, sky * height))
    axes.set_title(title, size=9)
    axes.set_axis_off()


def row_of(rows: list[Row], place: str, source: str, condition: str = "unchanged") -> Row:
    """Return the first test row of a place, source and condition."""
    wanted = place, source, condition
    return next(
        each for each in rows if (each[1].place, each[1].source, each[1].condition) == wanted
    )


def last_marked(row: Row, at_most: int) -> int:
    """Return the last frame with marks up to a number."""
    return max(each.frame for each in row[1].frames if each.frame <= at_most)


def lanes(rows: list[Row]) -> Figure:
    """Draw lanes in test pictures of several kinds."""
    shown = {
        "a frame of the clip": row_of(rows, "clip_7", "clip"),
        "with simulated shadows": row_of(rows, "clip_6", "clip", "shadows"),
        "another place, yellow paint": row_of(rows, "hill", "picture"),
    }
    figure, (places,) = plt.subplots(1, 3, figsize=(10.2, 1.42), squeeze=False)
    for axes, (title, row) in zip(places, shown.items(), strict=True):
        show(axes, row, last_marked(row, 18), title)
    return figure


def steps(rows: list[Row]) -> Figure:
    """Draw the way from a picture to its lane."""
    row, region = row_of(rows, "bush", "picture"), Region()
    picture = next(each for _, each in row[0].pictures())
    small = shrunk(picture, SIDE)
    painted = paint(small, region)
    edges = find_edges(small, painted, "local", region)
    figure, places = plt.subplots(2, 3, figsize=(10.2, 3.4))
    outlined = small.copy()
    inside = region.mask(small.shape).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outlined, contours, -1, (255, 255, 0), 3)
    _image(places[0, 0], outlined, "1. the region of interest")
    _image(places[0, 1], ~painted, "2. paint: unlike both sides of it")
    _image(places[0, 2], ~edges, "3. edges of the paint (Canny)")
    votes(places[1, 0], edges)
    _image(places[1, 1], small, "5. lines with most votes")
    for side in SIDES:
        peaks = find_peaks(
            vote(edges, ANGLES[side]), ANGLES[side], least=LEAST_VOTES, most=MOST_PEAKS
        )
        rows_shown = region.rows(small.shape[0])
        for each in peaks:
            ends = [each.x_at(y) for y in rows_shown]
            places[1, 1].plot(ends, rows_shown, color=COLORS[side], linewidth=0.8)
    show(places[1, 2], row, 0, "6. one line a side, by least squares")
    return figure


def votes(axes: Axes, edges: np.ndarray) -> None:
    """Draw the votes of all edges by angle and distance, with the strongest peak of each side."""
    angles = np.deg2rad(np.arange(-90.0, 90.0))
    counts = vote(edges, angles)
    farthest = len(counts) // 2
    shown = np.flatnonzero(counts.any(axis=1))
    first, last = int(shown[0]), int(shown[-1])
    axes.imshow(
        np.sqrt(counts[first : last + 1]),
        cmap="magma",
        aspect="auto",
        extent=(-90, 90, last - farthest, first - farthest),
    )
    for side in SIDES:
        (best,) = find_peaks(vote(edges, ANGLES[side]), ANGLES[side], least=1, most=1)
        place = np.rad2deg(best.angle), best.distance
        axes.plot(*place, "o", color=COLORS[side], fillstyle="none", ms=12, mew=1.8)
    axes.set_title("4. votes: each peak is a line", size=9)
    axes.set_xlabel("angle, degrees", size=8)
    axes.set_ylabel("distance, pixels", size=8)
    axes.tick_params(labelsize=7)


def _image(axes: Axes, image: np.ndarray, title: str) -> None:
    height, width = image.shape[:2]
    if image.ndim == 3:
        put(axes, image)
    else:
        axes.imshow(image, cmap="gray")
    axes.set(xlim=(0, width), ylim=(height, SKY * height))
    axes.set_title(title, size=9)
    axes.set_axis_off()


def harder(rows: list[Row]) -> Figure:
    """Draw the harder test pictures with the largest distance from a mark."""
    chosen = [each for each in rows if each[1].source == "harder"]
    figure, places = plt.subplots(2, 3, figsize=(10.2, 2.95))
    for axes, row in zip(places.flat, chosen, strict=False):
        show(axes, row, 0, distance_words(row))
    for axes in list(places.flat)[len(chosen) :]:
        axes.set_axis_off()
    figure.suptitle("Harder test pictures: curves, concrete, shadows (pixels of 960)")
    return figure


def distance_words(row: Row) -> str:
    """Say how many marks of a picture are not found, and how far the farthest is away."""
    comparison = Comparison.from_rows([row[1]], [served_positions(row[2], row[1])])
    known = comparison.distances[np.isfinite(comparison.distances)] * WIDTH
    missed = int((comparison.distances > TOLERANCE).sum())
    farthest = f"at most {known.max():.0f} pixels away" if len(known) else "no line"
    return f"{missed} of {len(comparison.distances)} not found, {farthest}"


def limits(rows: list[Row]) -> Figure:
    """Draw what fails in the test: a wrong line, a missing one, and a lane where none is."""
    figure, (places,) = plt.subplots(1, 3, figsize=(10.2, 2.0), squeeze=False)
    show(places[0], row_of(rows, "curve_2", "harder"), 0, "a curve, and a seam beside the dashes")
    missing = [
        (row, frame.frame)
        for row in rows
        for frame in row[1].frames
        if len(served_positions(row[2], row[1]).get(frame.frame, {})) < len(SIDES)
    ]
    if missing:
        row, number = missing[0]
        show(places[1], row, number, f"a line that is not shown: {row[1].condition}")
    false = [each for each in rows if not each[1].frames and each[2].lines]
    if false:
        show(places[2], false[0], 0, "a lane where none is", sky=0.0)
    for axes in places:
        axes.set_axis_off()
    return figure
