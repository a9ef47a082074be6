"""Join placed photos: equal exposure, then one picture without seams.

Brown and Lowe, Automatic panoramic image stitching using invariant features (2007); Burt and
Adelson, A multiresolution spline with application to image mosaics (1983).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

# Expected deviations in levels and of gains: a gain far from 1 must be worth it.
LEVEL_ERROR, GAIN_ERROR = 10.0, 0.3
# Halvings of the pyramid: the coarsest band blends over some 30 pixels.
BANDS = 5


@dataclass(frozen=True)
class Layer:
    """A photo on the panorama's plane: values (height, width, 3), and its weights (height, width).

    Weights fall from 1 in the photo's middle to 0 at its border and outside.
    """

    values: np.ndarray
    weights: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Return the pixels that the photo covers."""
        return np.asarray(self.weights > 0)


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> Layer:
    """Return the photo (height, width, 3) on a plane of (width, height)."""
    values = cv2.warpPerspective(
        image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    edge = np.minimum(np.minimum(x, width - 1 - x) / width, np.minimum(y, height - 1 - y) / height)
    # Pixels of the border count as well, but hardly.
    weights = cv2.warpPerspective(2 * edge + 1e-3, matrix, size, flags=cv2.INTER_LINEAR)
    return Layer(values.astype(np.float32), np.where(weights < 5e-4, 0, weights).astype(np.float32))


def gains(layers: list[Layer]) -> np.ndarray:
    """Return the factor (n,) of each photo with which they are equally bright where they overlap.

    The least squares of differences in all overlaps, weighted by their pixels.
    """
    count = len(layers)
    left, right = np.zeros((count, count)), np.zeros(count)
    for one in range(count):
        for other in range(one + 1, count):
            both = layers[one].inside & layers[other].inside
            pixels = float(both.sum())
            if not pixels:
                continue
            first, second = (
                float(layers[row].values[both].mean()) / LEVEL_ERROR for row in (one, other)
            )
            left[one, one] += pixels * (first**2 + 1 / GAIN_ERROR**2)
            left[other, other] += pixels * (second**2 + 1 / GAIN_ERROR**2)
            left[one, other] -= pixels * first * second
            left[other, one] -= pixels * first * second
            right[[one, other]] += pixels / GAIN_ERROR**2
    return np.asarray(np.linalg.lstsq(left, right, rcond=None)[0])


def paste(layers: list[Layer]) -> np.ndarray:
    """Return the photos one over the other, the last on top."""
    picture = np.zeros_like(layers[0].values)
    for layer in layers:
        picture[layer.inside] = layer.values[layer.inside]
    return picture


def feather(layers: list[Layer]) -> np.ndarray:
    """Return the mean of the photos, weighted by the distance from their borders."""
    total = np.zeros_like(layers[0].weights)
    picture = np.zeros_like(layers[0].values)
    for layer in layers:
        picture += layer.values * layer.weights[..., None]
        total += layer.weights
    return np.asarray(picture / np.maximum(total, 1e-9)[..., None])


def multiband(layers: list[Layer]) -> np.ndarray:
    """Return the photos blended widely where they are coarse, and narrowly where they are fine.

    Each pixel belongs to the photo whose border is farthest. These masks are blurred by as much as
    each band of the photos' Laplacian pyramids is.
    """
    weights = np.stack([layer.weights for layer in layers])
    best = weights.argmax(axis=0)
    covered = weights.max(axis=0) > 0
    bands = min(BANDS, int(np.log2(max(min(covered.shape), 2))))
    sums, totals = None, None
    for number, layer in enumerate(layers):
        mask = ((best == number) & covered).astype(np.float32)
        values = _laplacian(layer.values, bands)
        # Outside of a photo, its border goes on: blurring over it is harmless.
        masks = _gaussian(mask, bands)
        products = [value * each[..., None] for value, each in zip(values, masks, strict=True)]
        sums = products if sums is None else [a + b for a, b in zip(sums, products, strict=True)]
        totals = masks if totals is None else [a + b for a, b in zip(totals, masks, strict=True)]
    assert sums is not None
    assert totals is not None
    levels = [
        value / np.maximum(total, 1e-6)[..., None]
        for value, total in zip(sums, totals, strict=True)
    ]
    picture = levels[-1]
    for level in levels[-2::-1]:
        picture = cv2.pyrUp(picture, dstsize=level.shape[1::-1]) + level
    picture[~covered] = 0
    return np.asarray(picture)


def _gaussian(values: np.ndarray, bands: int) -> list[np.ndarray]:
    found = [values]
    for _ in range(bands):
        found.append(cv2.pyrDown(found[-1]))
    return found


def _laplacian(values: np.ndarray, bands: int) -> list[np.ndarray]:
    levels = _gaussian(values, bands)
    return [
        *(fine - cv2.pyrUp(coarse, dstsize=fine.shape[1::-1]) for fine, coarse in pairwise(levels)),
        levels[-1],
    ]


BLENDERS: dict[str, Callable[[list[Layer]], np.ndarray]] = {
    "none": paste,
    "feather": feather,
    "multiband": multiband,
}


def blend(layers: list[Layer], blender: str, *, equal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the panorama, uint8 (height, width, 3), and the gain (n,) of each photo."""
    factors = gains(layers) if equal else np.ones(len(layers))
    scaled = [
        Layer(layer.values * np.float32(factor), layer.weights)
        for layer, factor in zip(layers, factors, strict=True)
    ]
    picture = BLENDERS[blender](scaled)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), factors
