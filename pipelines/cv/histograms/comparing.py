"""Color histograms of pictures, and five measures of how alike two of them are, in NumPy."""

from collections.abc import Callable

import numpy as np

from .enhancing import BAND, to_gray

# A number for how far apart two histograms are, or how alike.
Distance = Callable[[np.ndarray, np.ndarray], float]
# Bins of the joint histogram of red, green and blue, and of the two shares of color.
RGB_BINS, CHROMA_BINS, GRAY_BINS = 8, 16, 64


def rgb_histogram(image: np.ndarray) -> np.ndarray:
    """Return the shares (512,) of joint levels of red, green and blue in a picture."""

    def places(part: np.ndarray) -> np.ndarray:
        bins = part // (256 // RGB_BINS)
        return np.asarray((bins[..., 0] * RGB_BINS + bins[..., 1]) * RGB_BINS + bins[..., 2])

    return histogram(image, places, RGB_BINS**3)


def chroma_histogram(image: np.ndarray) -> np.ndarray:
    """Return the shares (256,) of red and green in the sum of the channels.

    More light multiplies all channels, and these shares stay.
    """

    def places(part: np.ndarray) -> np.ndarray:
        total = np.maximum(part.sum(axis=2), 1)
        red, green = (
            np.minimum(part[..., channel] * CHROMA_BINS // total, CHROMA_BINS - 1)
            for channel in (0, 1)
        )
        return np.asarray(red * CHROMA_BINS + green)

    return histogram(image, places, CHROMA_BINS**2)


def gray_histogram(image: np.ndarray) -> np.ndarray:
    """Return the shares (64,) of levels of brightness."""
    return histogram(to_gray(image), lambda part: part // (256 // GRAY_BINS), GRAY_BINS)


def histogram(
    image: np.ndarray, places: Callable[[np.ndarray], np.ndarray], count: int
) -> np.ndarray:
    """Return the shares (count,) of pixels in each bin, by a function from pixels to bins."""
    counts = np.zeros(count, dtype=np.int64)
    for start in range(0, len(image), BAND):
        part = image[start : start + BAND].astype(np.int64)
        counts += np.bincount(places(part).ravel(), minlength=count)
    return np.asarray(counts / counts.sum())


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation: 1 for the same histogram."""
    left, right = one - one.mean(), other - other.mean()
    size = np.sqrt((left**2).sum() * (right**2).sum())
    return float((left * right).sum() / size) if size > 0 else 1.0


def chi_square(one: np.ndarray, other: np.ndarray) -> float:
    """Return the symmetric chi-square distance: 0 for the same histogram, at most 4."""
    total = one + other
    squares = np.divide((one - other) ** 2, total, out=np.zeros_like(total), where=total > 0)
    return float(2 * squares.sum())


def intersection(one: np.ndarray, other: np.ndarray) -> float:
    """Return the common share: 1 for the same histogram (Swain and Ballard 1991)."""
    return float(np.minimum(one, other).sum())


def bhattacharyya(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Hellinger distance, from 0 for the same histogram to 1."""
    overlap = np.sqrt(one * other).sum() / np.sqrt(one.sum() * other.sum())
    return float(np.sqrt(max(0.0, 1 - overlap)))


def earth_movers_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far shares must move on average, in bins in a row.

    In one dimension it is the area between the cumulative shares (Rubner, Tomasi, Guibas 2000).
    """
    return float(np.abs(np.cumsum(one - other)).sum())


HISTOGRAMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gray": gray_histogram,
    "rgb": rgb_histogram,
    "chroma": chroma_histogram,
}
# Distances: likeness is negated. Earth mover's distance needs bins in a row, as of gray values.
DISTANCES: dict[str, Distance] = {
    "correlation": lambda one, other: -correlation(one, other),
    "chi_square": chi_square,
    "intersection": lambda one, other: -intersection(one, other),
    "bhattacharyya": bhattacharyya,
    "emd": earth_movers_distance,
}
