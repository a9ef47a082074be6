"""Measure how near a generated picture is to the wanted one."""

import numpy as np
from scipy.ndimage import gaussian_filter

# The constants of Wang, Bovik, Sheikh and Simoncelli (2004).
K1, K2, SIGMA, TRUNCATE = 0.01, 0.03, 1.5, 3.5


def psnr(wanted: np.ndarray, picture: np.ndarray, highest: float = 255) -> float:
    """Return the peak signal-to-noise ratio in decibels, at most 100, which equal pictures have.

    Both are (height, width) or (height, width, channels), with values from 0 to `highest`.
    """
    error = np.mean((wanted.astype(np.float64) - picture) ** 2)
    return 100.0 if not error else min(100.0, float(10 * np.log10(highest**2 / error)))


def ssim(wanted: np.ndarray, picture: np.ndarray, highest: float = 255) -> float:
    """Return the structural similarity, 1 for equal pictures; of channels the mean.

    Means and variances are weighted by a Gaussian of 1.5 pixels, and a border of 5 pixels, in which
    it would leave the picture, does not count.

    Raises:
        ValueError: a side has fewer than 11 pixels.
    """
    if min(wanted.shape[:2]) < 11:
        raise ValueError(f"structural similarity needs 11 pixels a side, got {wanted.shape[:2]}")
    if wanted.ndim == 3:
        channels = range(wanted.shape[2])
        return float(np.mean([ssim(wanted[..., c], picture[..., c], highest) for c in channels]))
    one, other = wanted.astype(np.float64), picture.astype(np.float64)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values, SIGMA, truncate=TRUNCATE))

    mean_one, mean_other = mean(one), mean(other)
    spread = mean(one**2) - mean_one**2 + mean(other**2) - mean_other**2
    shared = mean(one * other) - mean_one * mean_other
    c1, c2 = (K1 * highest) ** 2, (K2 * highest) ** 2
    local = ((2 * mean_one * mean_other + c1) * (2 * shared + c2)) / (
        (mean_one**2 + mean_other**2 + c1) * (spread + c2)
    )
    border = int(TRUNCATE * SIGMA + 0.5)
    return float(local[border:-border, border:-border].mean())


def perplexity(log_probabilities: np.ndarray) -> float:
    """Return the perplexity of tokens, given the natural logarithms of their probabilities.

    It is the number of equally likely tokens that would be as hard to predict.
    """
    return float(np.exp(-np.mean(log_probabilities)))
