"""Find pictures that show the same part of a slide, moved."""

import numpy as np


def moved_correlation(ones: np.ndarray, others: np.ndarray, least: float = 0.25) -> np.ndarray:
    """Return the highest correlation (n, m) of pictures (n, h, w) with others (m, h, w).

    One is moved over the other by whole pixels, as far as they share `least` of their area, and
    Pearson's correlation is that of the shared pixels. The Fourier transform of a product gives the
    sums for all moves at once (Lewis, Fast Normalized Cross-Correlation, 1995).
    """
    height, width = ones.shape[1:]
    # Twice the size, so that what leaves the picture on one side does not come in on the other.
    frame = 2 * height, 2 * width
    cover = np.fft.rfft2(np.ones((height, width), np.float32), frame)
    pixels = np.fft.irfft2(cover * cover.conj(), frame)
    enough = pixels >= least * height * width
    pixels = pixels[enough]

    def sums(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray(np.fft.irfft2(one * other.conj(), frame)[..., enough])

    def moments(spectrum: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sum and spread of the shared pixels of each picture for each move."""
        return spectrum, np.sqrt(np.maximum(squares - spectrum**2 / pixels, 1.0))

    spectra = np.fft.rfft2(others, frame)
    total, spread = moments(sums(cover, spectra), sums(cover, np.fft.rfft2(others**2, frame)))
    found = np.empty((len(ones), len(others)))
    for row, picture in enumerate(ones):
        spectrum, square = np.fft.rfft2(picture, frame), np.fft.rfft2(picture**2, frame)
        own, own_spread = moments(sums(spectrum, cover), sums(square, cover))
        covariance = sums(spectrum, spectra) - own * total / pixels
        found[row] = (covariance / (own_spread * spread)).max(axis=1)
    return found
