"""The assignment with the least total cost."""

import numpy as np


def assign_pairs(cost: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of `cost` (n, m) with the least total cost, in order.

    Rows join one by one. Each takes a column along the cheapest path, on which earlier rows may
    move to other columns; prices keep all costs positive (Jonker and Volgenant 1987).
    """
    cost = np.asarray(cost, dtype=np.float64)
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in assign_pairs(cost.T))
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
