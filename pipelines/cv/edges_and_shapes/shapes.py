"""Name the shape of an outline: by its corners, or by the waves in its radius."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from . import outline
from .outline import Properties

NAMES = ("circle", "ellipse", "square", "rectangle", "triangle", "pentagon", "hexagon", "star")
OTHER = "other"
POLYGONS = {3: "triangle", 4: "square", 5: "pentagon", 6: "hexagon"}
# Sides or axes that differ by less count as equal: noise moves them by some percent.
ALIKE = 1.15
# The tolerance of corners, as a share of the perimeter.
CORNERS = 0.025
# A star's hull is larger than the star by more than this.
HOLLOW = 0.8
# Of a regular polygon of n corners, the radius waves n times with about this amplitude; below half
# of it, it is noise or another shape.
WAVE = {3: 0.27, 4: 0.138, 5: 0.085, 6: 0.058}
HALF = 0.5
STAR_WAVE = 0.17
ANGLES = 64
# The largest deviation from the ideal radius at which a name is given.
DEVIATION = 0.09


@dataclass(frozen=True)
class NamedOutline:
    """An outline with its properties, its corners (m, 2) and its name."""

    name: str
    score: float
    points: np.ndarray
    corners: np.ndarray
    properties: Properties


Namer = Callable[[np.ndarray, Properties, np.ndarray], str]


def radii(points: np.ndarray, properties: Properties) -> np.ndarray:
    """Return the radius (ANGLES,) in each direction from the center; the mean is 1.

    The outline is stretched first so that it spreads equally in all directions: this makes ellipses
    circles, and rectangles squares.
    """
    values, vectors = np.linalg.eigh(properties.spread)
    stretched = (points - properties.center) @ vectors / np.sqrt(np.maximum(values, 1e-9))
    angle, radius = np.arctan2(stretched[:, 1], stretched[:, 0]), np.hypot(*stretched.T)
    grid = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    order = np.argsort(angle, kind="stable")
    found = np.interp(grid, angle[order], radius[order], period=2 * np.pi)
    return np.asarray(found / found.mean())


def stretch(properties: Properties) -> float:
    """Return how many times longer than wide the outline is."""
    small, large = np.sqrt(np.maximum(np.linalg.eigvalsh(properties.spread), 1e-9))
    return float(large / small)


def name_by_corners(points: np.ndarray, properties: Properties, corners: np.ndarray) -> str:
    """Return a name by the number of corners."""
    count = len(corners)
    solid = properties.area / max(outline.area(outline.hull(points)), 1e-9)
    if solid < HOLLOW:
        return "star" if count == 10 else OTHER
    long, short = outline.fitted_rectangle(points)
    if count == 4:
        return "square" if long < ALIKE * short else "rectangle"
    if count in POLYGONS:
        return POLYGONS[count]
    if count < 3:
        return OTHER
    return "circle" if long < ALIKE * short else "ellipse"


def name_by_waves(points: np.ndarray, properties: Properties, corners: np.ndarray) -> str:
    """Return a name by the wave in the radius that is strongest for its number of corners."""
    waves = 2 * np.abs(np.fft.rfft(radii(points, properties))) / ANGLES
    if waves[5] > STAR_WAVE:
        return "star"
    share = {count: waves[count] / wave for count, wave in WAVE.items()}
    long = stretch(properties) > ALIKE
    # A triangle's corners are sharp, so its radius also waves six times.
    best = 3 if share[3] > HALF else max(share, key=lambda count: share[count])
    if share[best] < HALF:
        return "ellipse" if long else "circle"
    if best == 4:
        return "rectangle" if long else "square"
    return POLYGONS[best]


NAMERS: dict[str, Namer] = {"corners": name_by_corners, "waves": name_by_waves}


def ideal_radii(name: str, found: np.ndarray) -> np.ndarray:
    """Return the radius (ANGLES,) that a shape of this name has, turned as the found one is."""
    count = {"triangle": 3, "square": 4, "rectangle": 4, "pentagon": 5, "hexagon": 6, "star": 5}
    if name not in count:
        return np.ones(ANGLES)
    corners = count[name]
    # The wave's crest is a corner.
    turn = np.angle(np.fft.rfft(found)[corners]) / corners
    grid = np.arange(ANGLES) * 2 * np.pi / ANGLES
    apart = np.mod(grid + turn, 2 * np.pi / corners)
    apart = np.minimum(apart, 2 * np.pi / corners - apart)
    if name == "star":
        # From a corner at 1 to a corner at one half, along a straight line.
        half = np.pi / corners
        radius = 0.5 * np.sin(half) / (0.5 * np.sin(half - apart) + np.sin(apart))
    else:
        radius = np.cos(np.pi / corners) / np.cos(apart - np.pi / corners)
    return np.asarray(radius / radius.mean())


def name_outline(points: np.ndarray, namer: str) -> NamedOutline:
    """Return an outline (n, 2) with its name; the score is 1 if it is ideal, and 0 if it is not."""
    properties = outline.measure(points)
    corners = outline.simplify(points, CORNERS * properties.perimeter)
    if len(points) < 8 or not properties.area:
        return NamedOutline(OTHER, 0.0, points, corners, properties)
    name = NAMERS[namer](points, properties, corners)
    found = radii(points, properties)
    deviation = float(np.sqrt(np.mean((found - ideal_radii(name, found)) ** 2)))
    if deviation > DEVIATION:
        name = OTHER
    score = float(np.clip(1 - deviation / (2 * DEVIATION), 0, 1))
    return NamedOutline(name, score, points, corners, properties)


def find_outlines(edges: np.ndarray, namer: str, min_area: float) -> list[NamedOutline]:
    """Return the outer outlines of edges, bool (height, width), the largest first.

    Gaps of up to two pixels are closed. Outlines around less than `min_area` pixels are left out.
    """
    closed = cv2.morphologyEx(
        np.pad(edges.astype(np.uint8), 4), cv2.MORPH_CLOSE, np.ones((3, 3), dtype=np.uint8)
    )
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = [
        name_outline(each[:, 0].astype(np.float64) - 4, namer)
        for each in contours
        if outline.area(each[:, 0]) >= min_area
    ]
    return sorted(found, key=lambda each: -each.properties.area)
