"""Properties of closed outlines in NumPy: area, perimeter, moments, hull, corners."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Properties:
    """Measures of a closed outline."""

    area: float
    perimeter: float
    circularity: float
    """4 pi area / perimeter squared: 1 for a circle, less for all else."""
    center: np.ndarray
    spread: np.ndarray
    """The covariance (2, 2) of the points inside."""


def area(points: np.ndarray) -> float:
    """Return the area inside an outline (n, 2), by the shoelace formula."""
    x, y = np.asarray(points, dtype=np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def perimeter(points: np.ndarray) -> float:
    """Return the length of a closed outline (n, 2)."""
    steps = np.asarray(points, dtype=np.float64) - np.roll(points, -1, axis=0)
    return float(np.hypot(*steps.T).sum())


def measure(points: np.ndarray) -> Properties:
    """Return the properties of an outline (n, 2).

    Center and spread are integrals over the inside, by Green's theorem. Without an inside, they are
    those of the points.
    """
    values = np.asarray(points, dtype=np.float64)
    inside, length = area(values), perimeter(values)
    circularity = 4 * np.pi * inside / length**2 if length else 0.0
    center, spread = _moments(values) if inside else (values.mean(axis=0), np.zeros((2, 2)))
    return Properties(inside, length, min(circularity, 1.0), center, spread)


def _moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # About the first point, so that large coordinates cost no digits.
    local = points - points[0]
    x, y = local.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    total = cross.sum() / 2
    center = np.array([((x + next_x) * cross).sum(), ((y + next_y) * cross).sum()]) / (6 * total)
    xx = ((x * x + x * next_x + next_x * next_x) * cross).sum() / 12
    yy = ((y * y + y * next_y + next_y * next_y) * cross).sum() / 12
    xy = ((x * next_y + 2 * x * y + 2 * next_x * next_y + next_x * y) * cross).sum() / 24
    spread = np.array([[xx, xy], [xy, yy]]) / total - np.outer(center, center)
    return points[0] + center, spread


def hull(points: np.ndarray) -> np.ndarray:
    """Return the convex hull (m, 2) of points (n, 2), by Andrew's monotone chain (1979)."""
    ordered = np.unique(np.asarray(points, dtype=np.float64), axis=0).tolist()
    if len(ordered) < 3:
        return np.array(ordered)

    def chain(rows: list[list[float]]) -> list[list[float]]:
        kept: list[list[float]] = []
        for x, y in rows:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], (x, y)) <= 0:
                kept.pop()
            kept.append([x, y])
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def _turn(one: list[float], two: list[float], three: tuple[float, float]) -> float:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def simplify(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the corners (m, 2) of a closed outline, by Douglas and Peucker (1973).

    The two points that are farthest apart stay. Between two corners, the point that is farthest
    from their line becomes one, until none is farther than `tolerance`. Corners on the line between
    their neighbors are dropped again, the straightest first.
    """
    values = np.asarray(points, dtype=np.float64)
    first = int(np.hypot(*(values - values.mean(axis=0)).T).argmax())
    values = np.roll(values, -first, axis=0)
    second = int(np.hypot(*(values - values[0]).T).argmax())
    closed = np.vstack([values, values[:1]])
    kept, open_ = {0, second}, [(0, second), (second, len(values))]
    while open_:
        start, end = open_.pop()
        if end - start < 2:
            continue
        distances = _distances(closed[start + 1 : end], closed[start], closed[end])
        if distances.max() > tolerance:
            middle = start + 1 + int(distances.argmax())
            kept.add(middle)
            open_ += [(start, middle), (middle, end)]
    return _without_straight(values[sorted(kept)], tolerance)


def _without_straight(corners: np.ndarray, tolerance: float) -> np.ndarray:
    while len(corners) > 3:
        around = np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0)
        bends = [
            float(_distances(corner[None], before, after)[0])
            for corner, before, after in zip(corners, *around, strict=True)
        ]
        least = int(np.argmin(bends))
        if bends[least] > tolerance:
            break
        corners = np.delete(corners, least, axis=0)
    return corners


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distances (n,) of points from a line, or from its start if it has no length."""
    line, apart = end - start, points - start
    length = float(np.hypot(*line))
    if not length:
        return np.asarray(np.hypot(*apart.T))
    return np.asarray(np.abs(line[0] * apart[:, 1] - line[1] * apart[:, 0]) / length)


def fitted_rectangle(points: np.ndarray) -> tuple[float, float]:
    """Return the longer and the shorter side of the smallest rectangle around points (n, 2).

    One of its sides lies on a side of the hull (Freeman and Shapira 1975).
    """
    around = hull(points)
    if len(around) < 3:
        return float(np.ptp(around, axis=0).max(initial=0)), 0.0
    sides = np.roll(around, -1, axis=0) - around
    along = sides / np.hypot(*sides.T)[:, None]
    widths = np.ptp(around @ along.T, axis=0)
    heights = np.ptp(around @ np.column_stack([-along[:, 1], along[:, 0]]).T, axis=0)
    best = int((widths * heights).argmin())
    return float(max(widths[best], heights[best])), float(min(widths[best], heights[best]))
