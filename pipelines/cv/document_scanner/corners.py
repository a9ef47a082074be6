"""Find the corners of a bright sheet in a photograph.

Each method proposes quadrilaterals. The proposal with the best contrast along its weakest side
wins. Its sides are then fitted to the edge, so that corners are exact to a fraction of a pixel.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

# Longer side, in pixels, of the copy in which quadrilaterals are proposed. More shows the printed
# lines, which are edges too; less loses corners.
WORKING_SIDE = 480
# A sheet covers at least this share of the picture.
SMALLEST = 0.08
# Points per side at which contrast is measured, and their distance to the side in working pixels.
SAMPLES, DISTANCE = 48, 4.0
# Grey levels by which paper must be brighter than the background at a point.
CONTRAST = 12.0


@dataclass(frozen=True)
class FoundSheet:
    """A sheet's corners (4, 2), clockwise from the upper left, and how sure they are (0 to 1)."""

    corners: np.ndarray
    confidence: float


Proposer = Callable[[np.ndarray], Iterator[np.ndarray]]


def clockwise(corners: np.ndarray) -> np.ndarray:
    """Return corners (4, 2) ordered clockwise, beginning with the one nearest to the upper left."""
    middle = corners.mean(axis=0)
    angles = np.arctan2(corners[:, 1] - middle[1], corners[:, 0] - middle[0])
    ordered = corners[np.argsort(angles)]
    return np.roll(ordered, -int(np.argmin(ordered.sum(axis=1))), axis=0)


def propose_by_brightness(grey: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the outlines of bright regions, thresholded as Otsu (1979) proposed."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 3)
    level, mask = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    yield from quadrilaterals(mask)
    # Paper in shadow falls below the first threshold, and a bright background reaches it.
    for shift in (-25, 25):
        _, mask = cv2.threshold(smooth, level + shift, 255, cv2.THRESH_BINARY)
        yield from quadrilaterals(mask)


def propose_by_edges(grey: np.ndarray) -> Iterator[np.ndarray]:
    """Yield closed outlines among the edges of Canny (1986), at two sensitivities."""
    smooth = cv2.bilateralFilter(grey, 9, 50, 9)
    for low, high in ((30, 90), (75, 200)):
        edges = cv2.dilate(cv2.Canny(smooth, low, high), np.ones((3, 3), np.uint8))
        yield from quadrilaterals(edges)


def propose_by_lines(grey: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the quadrilaterals between two pairs of lines of the Hough transform (1962)."""
    edges = cv2.Canny(cv2.GaussianBlur(grey, (0, 0), 1.5), 40, 120)
    found = cv2.HoughLines(edges, 1, np.pi / 180, int(0.2 * min(grey.shape)))
    if found is None:
        return
    lines = distinct_lines(found[:, 0, :], limit=10)
    for four in combinations(range(len(lines)), 4):
        if (corners := between(lines[list(four)], grey.shape)) is not None:
            yield corners


def quadrilaterals(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the outlines in a mask that are large, convex and have about four corners."""
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:5]:
        hull = cv2.convexHull(contour)
        if cv2.contourArea(hull) < SMALLEST * mask.size:
            return
        for tolerance in (0.02, 0.04, 0.06):
            outline = cv2.approxPolyDP(hull, tolerance * cv2.arcLength(hull, True), True)
            if len(outline) == 4:
                yield clockwise(outline[:, 0, :].astype(np.float64))
                break


def distinct_lines(lines: np.ndarray, *, limit: int) -> np.ndarray:
    """Return the first `limit` lines (distance, angle) over 12 pixels or 8 degrees apart."""
    kept: list[np.ndarray] = []
    for distance, angle in lines:
        if distance < 0:  # the same line, with the normal the other way
            distance, angle = -distance, angle - np.pi
        turn = [abs(np.angle(np.exp(1j * (angle - other[1])))) for other in kept]
        if all(
            abs(distance - other[0]) > 12 or each > np.radians(8)
            for other, each in zip(kept, turn, strict=True)
        ):
            kept.append(np.array([distance, angle]))
        if len(kept) == limit:
            break
    return np.array(kept)


def between(lines: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the quadrilateral between four lines, or None if they form none in the picture."""
    first = lines[np.argsort(np.abs(np.sin(lines[:, 1] - lines[0, 1])))]
    corners = []
    for one in first[:2]:
        for other in first[2:]:
            matrix = [[np.cos(line[1]), np.sin(line[1])] for line in (one, other)]
            if abs(np.linalg.det(matrix)) < 0.3:
                return None
            corners.append(np.linalg.solve(matrix, [one[0], other[0]]))
    quad = clockwise(np.array(corners))
    high, wide = shape[:2]
    inside = (quad > -5).all() and (quad < [wide + 5, high + 5]).all()
    contour = quad.astype(np.float32)
    large = cv2.contourArea(contour) >= SMALLEST * high * wide
    return quad if inside and large and cv2.isContourConvex(contour) else None


def side_contrast(grey: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return for each side the share of points (4,) at which the inside is clearly brighter."""
    following = np.roll(corners, -1, axis=0)
    along = following - corners
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)  # to the inside, as corners go clockwise
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    steps = np.linspace(0.04, 0.96, SAMPLES)[None, :, None]
    points = corners[:, None, :] + steps * along[:, None, :]
    inner, outer = (sample(grey, points + sign * DISTANCE * normal[:, None, :]) for sign in (1, -1))
    return np.asarray((inner - outer > CONTRAST).mean(axis=1))


def sample(grey: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the interpolated grey values at points (..., 2); beyond the picture its border's."""
    x, y = (points[..., axis].astype(np.float32) for axis in (0, 1))
    values = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values, dtype=np.float64)


def fit_sides(grey: np.ndarray, corners: np.ndarray, *, reach: float) -> np.ndarray:
    """Return corners moved to where lines through the steepest points along the sides meet.

    At each of the points along a side, the steepest step within `reach` pixels is taken as the
    edge; a line is fitted to them by iterated least squares, so that a printed line does not pull.
    """
    following = np.roll(corners, -1, axis=0)
    offsets = np.arange(-reach, reach + 0.5, 0.5)
    lines = []
    for start, end in zip(corners, following, strict=True):
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        normal = np.array([-along[1], along[0]])
        steps = start + np.linspace(0.08, 0.92, SAMPLES)[:, None] * (end - start)
        grid = steps[:, None, :] + offsets[None, :, None] * normal
        slopes = np.diff(sample(grey, grid), axis=1)
        best = offsets[slopes.argmax(axis=1)] + 0.25
        points = steps + best[:, None] * normal
        vx, vy, x, y = cv2.fitLine(points.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel()
        lines.append((np.array([-vy, vx], np.float64), float(-vy * x + vx * y)))
    moved = []
    for one, other in zip([lines[-1], *lines[:-1]], lines, strict=True):
        matrix = np.stack([one[0], other[0]])
        if abs(np.linalg.det(matrix)) < 0.1:
            return corners
        moved.append(np.linalg.solve(matrix, [one[1], other[1]]))
    found = np.array(moved)
    # A fit that leaves the search range has followed something else.
    return found if np.abs(found - corners).max() <= 3 * reach else corners


def finder(*proposers: Proposer, fitted: bool = True) -> Callable[[np.ndarray], FoundSheet]:
    """Return a function that finds the sheet in a picture (height, width, 3) of uint8."""

    def find(image: np.ndarray) -> FoundSheet:
        high, wide = image.shape[:2]
        scale = min(1.0, WORKING_SIDE / max(high, wide))
        full = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        size = (max(1, round(wide * scale)), max(1, round(high * scale)))
        grey = cv2.resize(full, size, interpolation=cv2.INTER_AREA)
        best = FoundSheet(whole_picture(image).corners, 0.0)
        for propose in proposers:
            for corners in propose(grey):
                contrast = side_contrast(grey, corners)
                confidence = float(contrast.min() * contrast.mean())
                if confidence > best.confidence:
                    best = FoundSheet(corners / scale, confidence)
        if fitted and best.confidence > 0:
            corners = fit_sides(full, best.corners, reach=max(3.0, 3.0 / scale))
            best = FoundSheet(corners, best.confidence)
        limit = np.array([wide - 1, high - 1], dtype=np.float64)
        return FoundSheet(np.clip(best.corners, 0, limit), best.confidence)

    return find


def whole_picture(image: np.ndarray) -> FoundSheet:
    """Return the picture's own corners."""
    high, wide = image.shape[:2]
    corners = np.array([[0, 0], [wide - 1, 0], [wide - 1, high - 1], [0, high - 1]], np.float64)
    return FoundSheet(corners, 0.0)


# The simplest first.
METHODS: dict[str, Callable[[np.ndarray], FoundSheet]] = {
    "baseline": whole_picture,
    "brightness": finder(propose_by_brightness, fitted=False),
    "edges": finder(propose_by_edges, fitted=False),
    "lines": finder(propose_by_lines, fitted=False),
    "edges_fitted": finder(propose_by_edges),
    "brightness_edges_fitted": finder(propose_by_brightness, propose_by_edges),
    "all_fitted": finder(propose_by_brightness, propose_by_edges, propose_by_lines),
}
