"""Windows of a series: what was known at a moment, and what came next."""

from collections.abc import Iterator

import numpy as np


def windows(
    series: np.ndarray, past: int, ahead: int, every: int = 1
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield place, the last `past` values and the next `ahead` values of a series (steps,).

    The place is the index of the first value ahead; `every` steps there is a window.

    Raises:
        ValueError: the series is shorter than one window.
    """
    if len(series) < past + ahead:
        raise ValueError(f"a window has {past + ahead} steps, the series only {len(series)}")
    for place in range(past, len(series) - ahead + 1, every):
        yield place, series[place - past : place], series[place : place + ahead]
