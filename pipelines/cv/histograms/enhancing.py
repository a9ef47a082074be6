"""Equalize, locally equalize (CLAHE) and match histograms of pictures, in NumPy.

All work on brightness. The result's color channels move by as much as the brightness does, so that
differences of color stay.
"""

from collections.abc import Callable

import numpy as np

LEVELS = 256
# Rec. 601 in 1/32768, as OpenCV computes gray values.
GRAY_WEIGHTS = np.array([9798, 19235, 3735])
GRAY_BITS = 15
# Rows that are computed at once: memory stays bounded for large pictures.
BAND = 128


def to_gray(image: np.ndarray) -> np.ndarray:
    """Return the gray values (height, width) of a picture (height, width, 3) in RGB."""
    gray = np.empty(image.shape[:2], np.uint8)
    for start in range(0, len(image), BAND):
        part = image[start : start + BAND].astype(np.int32)
        gray[start : start + BAND] = (part @ GRAY_WEIGHTS + (1 << (GRAY_BITS - 1))) >> GRAY_BITS
    return gray


def level_counts(gray: np.ndarray) -> np.ndarray:
    """Return how many values there are of each of the 256 levels."""
    return np.bincount(gray.ravel(), minlength=LEVELS)


def equalizing_curve(gray: np.ndarray) -> np.ndarray:
    """Return the curve (256,) of uint8 after which every level is about equally frequent.

    It is the share of darker pixels, from 0 for the darkest level that occurs to 255.
    """
    counts = level_counts(gray)
    darkest = int(np.flatnonzero(counts)[0])
    if counts[darkest] == gray.size:
        return np.full(LEVELS, darkest, np.uint8)
    darker = counts.cumsum() - counts[darkest]
    scale = np.float32(255) / np.float32(gray.size - counts[darkest])
    curve = np.rint(darker.astype(np.float32) * scale)
    return np.where(np.arange(LEVELS) > darkest, curve, 0).astype(np.uint8)


def matching_curve(gray: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the curve (256,) of real numbers that gives a picture the reference's histogram.

    Each level becomes the one below which the reference has the same share of pixels.
    """
    shares, wanted = (level_counts(each).cumsum() / each.size for each in (gray, reference))
    present = np.flatnonzero(level_counts(reference))
    return np.asarray(np.interp(shares, wanted[present], present))


def clip_counts(counts: np.ndarray, limit: int) -> np.ndarray:
    """Return counts (tiles, 256) cut off at `limit`, with what was cut spread over all levels."""
    clipped = np.minimum(counts, limit)
    excess = (counts - clipped).sum(axis=1)
    clipped += (excess // LEVELS)[:, None]
    rest = excess % LEVELS
    # What is left is spread in equal steps, one each.
    step = np.maximum(LEVELS // np.maximum(rest, 1), 1)
    place = np.arange(LEVELS)[None, :]
    chosen = (place % step[:, None] == 0) & (place // step[:, None] < rest[:, None])
    return np.asarray(clipped + chosen)


def tile_curves(gray: np.ndarray, clip: float, tiles: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the curve of each tile (tiles, tiles, 256) of uint8, and a tile's height and width.

    A picture that the tiles do not divide is continued at the bottom and right as in a mirror.
    """
    rest = [-length % tiles for length in gray.shape]
    if any(rest):
        # As OpenCV does: if one side needs it, the other one gets a whole row of pixels more.
        rest = [each or tiles for each in rest]
        gray = np.pad(gray, [(0, each) for each in rest], mode="reflect")
    high, wide = gray.shape[0] // tiles, gray.shape[1] // tiles
    parts = gray.reshape(tiles, high, tiles, wide).swapaxes(1, 2).reshape(tiles * tiles, -1)
    counts = np.stack([level_counts(part) for part in parts])
    if clip > 0:
        counts = clip_counts(counts, max(int(clip * high * wide / LEVELS), 1))
    scale = np.float32(255) / np.float32(high * wide)
    curves = np.rint(counts.cumsum(axis=1).astype(np.float32) * scale)
    return np.clip(curves, 0, 255).astype(np.uint8).reshape(tiles, tiles, LEVELS), (high, wide)


def clahe(gray: np.ndarray, clip: float, tiles: int) -> np.ndarray:
    """Return gray values (height, width) after contrast limited adaptive histogram equalization.

    Every pixel is mapped by the curves of the four tiles around it, weighed by their distance.
    Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV (1994).
    """
    curves, (high, wide) = tile_curves(gray, clip, tiles)
    left, right, across = _between(gray.shape[1], wide, tiles)
    upper, lower, down = _between(gray.shape[0], high, tiles)
    result = np.empty_like(gray)
    one = np.float32(1)
    for start in range(0, len(gray), BAND):
        rows = slice(start, start + BAND)
        values = gray[rows]
        above, below, share = (each[rows, None] for each in (upper, lower, down))
        top = curves[above, left, values] * (one - across) + curves[above, right, values] * across
        bottom = (
            curves[below, left, values] * (one - across) + curves[below, right, values] * across
        )
        result[rows] = np.rint(top * (one - share) + bottom * share)
    return result


def _between(length: int, tile: int, tiles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each place the tiles before and after it, and the share of the one after."""
    place = np.arange(length, dtype=np.float32) * (np.float32(1) / np.float32(tile)) - np.float32(
        0.5
    )
    before = np.floor(place)
    share = place - before
    first = before.astype(int)
    return np.clip(first, 0, tiles - 1), np.clip(first + 1, 0, tiles - 1), share


def recolor(image: np.ndarray, gray: np.ndarray, new_gray: np.ndarray) -> np.ndarray:
    """Return the picture (height, width, 3) with new brightness, its color differences kept."""
    result = np.empty_like(image)
    for start in range(0, len(image), BAND):
        rows = slice(start, start + BAND)
        change = new_gray[rows].astype(np.int16) - gray[rows]
        result[rows] = np.clip(image[rows] + change[..., None], 0, 255)
    return result


# The name and the function of each method without a reference, given clip limit and tiles.
Method = Callable[[np.ndarray, float, int], np.ndarray]
METHODS: dict[str, Method] = {
    "none": lambda gray, clip, tiles: gray,
    "equalize": lambda gray, clip, tiles: equalizing_curve(gray)[gray],
    "clahe": clahe,
}
