"""Conversion of sound from one sample rate to another."""

from math import gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# Zero crossings of the sinc on each side, and the shape of its Kaiser window: the error of a tone
# below four fifths of the new band is under 1e-4.
CROSSINGS = 24
BETA = 9.0
# The share of the new band that passes; the rest is the filter's slope.
PASSED = 0.94
# The window by the distance from its middle. Bessel's function costs 20 times as much as the
# interpolation, and 44,101 Hz to 48,000 Hz takes 48,000 filters.
GRID = np.linspace(0, 1, 2049)
WINDOW = np.i0(BETA * np.sqrt(1 - GRID**2)) / np.i0(BETA)


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Return the sound (n,) at `new_rate`, float32 (ceil(n * new_rate / rate),).

    Each new sample is a windowed sinc over the old ones (Smith 1984). What the new rate cannot
    hold is filtered out.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if rate == new_rate or not samples.size:
        return samples
    up, down = new_rate // gcd(rate, new_rate), rate // gcd(rate, new_rate)
    count = -(-samples.size * up // down)
    half = int(np.ceil(CROSSINGS * max(1.0, down / up)))
    windows = sliding_window_view(np.pad(samples, half), 2 * half)
    result = np.empty(count, dtype=np.float32)
    # New samples `up` apart lie equally between old ones, and share one filter.
    for first in range(min(up, count)):
        place, between = divmod(first * down, up)
        rows = len(range(first, count, up))
        chosen = windows[place + 1 :: down][:rows]
        result[first::up] = chosen @ _filter(half, between / up, min(1.0, up / down))
    return result


def _filter(half: int, between: float, band: float) -> np.ndarray:
    """Return the weights (2 * half,) of old samples for a place `between` two of them."""
    distance = np.arange(1 - half, half + 1) - between
    weights = np.sinc(distance * band * PASSED) * np.interp(np.abs(distance) / half, GRID, WINDOW)
    return np.asarray(weights / weights.sum(), dtype=np.float32)
