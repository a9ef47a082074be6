"""Canny's edge detector in NumPy, equal to OpenCV's in every pixel, and rules for its thresholds.

Canny, A computational approach to edge detection (1986).
"""

from collections.abc import Callable

import numpy as np

# The tangent of 22.5 degrees in fixed point of 15 bits, as OpenCV compares directions.
SHIFT = 15
TANGENT = int(0.4142135623730950488016887242097 * (1 << SHIFT) + 0.5)
# Noise alone exceeds 4.1 times the median of its gradients in one pixel of 100,000: they are
# distributed as Rayleigh's distribution.
NOISE_FACTOR = 4.1
# Weak edges reach this share of the strong ones' threshold.
LOW_SHARE = 0.5
# A step of so many levels is seen, even in a picture without any noise.
LEAST_STEP = 6
# The Sobel gradient of a step of one level.
STEP = 4


def smooth(gray: np.ndarray, sigma: float) -> np.ndarray:
    """Return the picture (height, width) of uint8 after a Gaussian filter, rounded."""
    if sigma <= 0:
        return gray
    radius = int(np.ceil(3 * sigma))
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    values = gray.astype(np.float64)
    for axis in (0, 1):
        padding = [(radius, radius) if each == axis else (0, 0) for each in (0, 1)]
        padded = np.pad(values, padding, mode="edge")
        length = values.shape[axis]
        values = sum(
            weight * np.take(padded, range(place, place + length), axis=axis)
            for place, weight in enumerate(weights)
        )
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def sobel(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slopes to the right and downwards, int64 (height, width), by 3 x 3 filters."""
    padded = np.pad(gray.astype(np.int64), 1, mode="edge")
    across = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    down = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return across[:, 2:] - across[:, :-2], down[2:] - down[:-2]


def magnitude(gray: np.ndarray) -> np.ndarray:
    """Return the gradient's length in each pixel, (height, width)."""
    right, down = sobel(gray)
    return np.asarray(np.hypot(right, down))


def thinned(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return which pixels are maxima of the gradient across the edge, bool (height, width).

    The direction is one of four; of two equal neighbors, the latter one counts.
    """
    squared = np.pad(right**2 + down**2, 1)
    height, width = right.shape

    def beside(rows: int, columns: int) -> np.ndarray:
        return squared[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    center = beside(0, 0)
    across, along = np.abs(right) * TANGENT, np.abs(down) << SHIFT
    flat = along < across
    steep = along > across + (np.abs(right) << (SHIFT + 1))
    falling = (right ^ down) < 0
    sideways = (center > beside(0, -1)) & (center >= beside(0, 1))
    upright = (center > beside(-1, 0)) & (center >= beside(1, 0))
    one = (center > beside(-1, -1)) & (center > beside(1, 1))
    other = (center > beside(-1, 1)) & (center > beside(1, -1))
    diagonal = np.where(falling, other, one)
    return np.where(flat, sideways, np.where(steep, upright, diagonal)).astype(bool)


def connected(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Return the weak pixels that touch a strong one, over any number of weak ones.

    All pixels at the front move at the same time, so there are as many steps as the longest path.
    """
    height, width = weak.shape
    open_ = np.pad(weak, 1).ravel()
    kept = np.zeros_like(open_)
    stride = width + 2
    around = np.array([-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1])
    front = np.flatnonzero(np.pad(strong, 1).ravel())
    while front.size:
        kept[front] = True
        open_[front] = False
        near = (front[:, None] + around).ravel()
        front = np.unique(near[open_[near]])
    return kept.reshape(height + 2, stride)[1:-1, 1:-1]


def canny(gray: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the edges, bool (height, width), of a picture of uint8.

    Pixels whose gradient exceeds `high` are edges, and those above `low` that are connected to one.
    """
    low, high = min(low, high), max(low, high)
    right, down = sobel(gray)
    squared = right**2 + down**2
    weak = (squared > low**2) & thinned(right, down)
    return connected(weak, weak & (squared > high**2))


def otsu(values: np.ndarray, top: float) -> float:
    """Return the threshold from 0 to `top` between two classes of values, in 256 steps.

    It maximizes the variance between the classes (Otsu 1979).
    """
    counts = np.histogram(values, bins=256, range=(0, top))[0].astype(np.float64)
    levels = np.arange(256)
    below = np.cumsum(counts)
    above = below[-1] - below
    first = np.cumsum(counts * levels)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = first / below - (first[-1] - first) / above
        between = np.nan_to_num(below * above * apart**2)
    return float(between.argmax()) * top / 256


Rule = Callable[[np.ndarray], tuple[float, float]]


def fixed(gray: np.ndarray) -> tuple[float, float]:
    """Return the same thresholds for every picture: a step of 25 and one of 50 levels."""
    return 100.0, 200.0


def by_median(gray: np.ndarray) -> tuple[float, float]:
    """Return a third below and a third above the median brightness, a common rule of thumb."""
    middle = float(np.median(gray))
    return 0.67 * middle, 1.33 * middle


def by_brightness(gray: np.ndarray) -> tuple[float, float]:
    """Return Otsu's threshold of the brightness, and half of it."""
    high = otsu(gray, 256.0)
    return LOW_SHARE * high, high


def by_gradient(gray: np.ndarray) -> tuple[float, float]:
    """Return Otsu's threshold of the gradient's length, and half of it."""
    lengths = magnitude(gray)
    high = max(otsu(lengths, float(lengths.max()) + 1), LEAST_STEP * STEP)
    return LOW_SHARE * high, high


def by_noise(gray: np.ndarray) -> tuple[float, float]:
    """Return what noise hardly reaches: most pixels are no edges, so their median is noise."""
    high = max(NOISE_FACTOR * float(np.median(magnitude(gray))), LEAST_STEP * STEP)
    return LOW_SHARE * high, high


RULES: dict[str, Rule] = {
    "fixed": fixed,
    "median": by_median,
    "otsu": by_brightness,
    "gradient": by_gradient,
    "noise": by_noise,
}
