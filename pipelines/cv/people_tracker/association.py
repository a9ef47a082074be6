"""Decide which detection is which tracked person."""

import numpy as np

from slipway.media import box_overlaps

from .kalman import Motion, to_center

# Least overlap of a prediction with its detection, as in SORT (Bewley et al. 2016).
OVERLAP = 0.3
# 99 % of the squared distances of two normal variables, in units of their variances (chi-square).
DISTANCE = 9.21
# Largest ratio between the heights of a lost person and of the one who reappears.
GROWTH = 1.5


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the assignment with the least total cost.

    Every row of `cost` (n, m) gets a column of its own, or every column a row if n > m. The rows
    are added one by one; each may push others to another column along the cheapest path, which
    Dijkstra's algorithm finds with prices that keep all costs positive (Jonker and Volgenant 1987).
    """
    cost = np.asarray(cost, dtype=np.float64)
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in assign(cost.T))
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for row in range(rows):
        distance, came_from = np.full(columns, np.inf), np.full(columns, -1)
        done = np.zeros(columns, dtype=bool)
        current, column, length = row, -1, 0.0
        while current >= 0:
            step = length + cost[current] - row_price[current] - column_price
            shorter = ~done & (step < distance)
            distance[shorter], came_from[shorter] = step[shorter], column
            column = int(np.where(done, np.inf, distance).argmin())
            done[column], length, current = True, distance[column], owner[column]
        passed = done & (owner >= 0)
        row_price[owner[passed]] += length - distance[passed]
        row_price[row] += length
        column_price[done] -= length - distance[done]
        while column >= 0:
            before = came_from[column]
            owner[column] = row if before < 0 else owner[before]
            column = before
    return sorted((int(owner[column]), int(column)) for column in np.flatnonzero(owner >= 0))


def match_overlaps(boxes: np.ndarray, detections: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of predicted boxes (n, 4) and detections (m, 4) that overlap the most."""
    overlaps = box_overlaps(boxes, detections)
    # Pairs that may not match must not decide between those that may.
    cost = np.where(overlaps >= OVERLAP, 1 - overlaps, 1.0)
    return [pair for pair in assign(cost) if overlaps[pair] >= OVERLAP]


def match_distances(
    motion: Motion, rows: np.ndarray, detections: np.ndarray
) -> list[tuple[int, int]]:
    """Return pairs of the lost people in `rows` (n,) and detections (m, 4) near where they must be.

    How far is near says the filter: its variance grows with every frame without a detection.
    """
    found = to_center(detections)
    expected = motion.mean[rows, :, 0]
    difference = found[None, :, :2] - expected[:, None, :2]
    distance = (difference**2 / motion.measured_variance(rows)[:, None, :2]).sum(axis=2)
    heights = np.maximum(found[:, 3], 1.0)
    growth = np.abs(np.log(heights[None, :] / expected[:, None, 3]))
    allowed = (distance <= DISTANCE) & (growth <= np.log(GROWTH))
    cost = np.where(allowed, distance, 2 * DISTANCE)
    return [pair for pair in assign(cost) if allowed[pair]]
