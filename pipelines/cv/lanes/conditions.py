"""Simulated light and weather on frames of a real road: dusk, shadows of trees, and a pale road."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

# At dusk this share of the light is left, with the camera's noise in levels.
DUSK, NOISE = 0.3, 6.0
# In a shadow this share of the light is left; so much of the road is in shadow.
SHADE, SHADED = 0.4, 0.4
# A pale road, as concrete in the sun: this share of the contrast to white is left.
PALE = 0.4
# The horizon, as a share of the height, and by how much the road moves on in a frame: at 25 frames
# a second a car at 100 km/h goes about a lane's width in two frames.
HORIZON, ADVANCE = 0.58, 0.3
# Near the horizon shadows are too small to be seen.
NO_SHADOW = 0.02
# A patch of shadows repeats after so many lane widths. It has so many cells, and leaves that are
# so many cells wide.
PATCH, CELLS, LEAF = 8.0, 512, 12.0


def unchanged(pictures: Iterator[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    yield from pictures


def dusk(pictures: Iterator[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """Yield pictures with little light and with noise."""
    generator = np.random.default_rng(seed)
    for picture in pictures:
        noise = generator.normal(0, NOISE, picture.shape)
        yield np.clip(np.rint(picture * DUSK + noise), 0, 255).astype(np.uint8)


def shadows(pictures: Iterator[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """Yield pictures with patches of shadow on the road, which come nearer from frame to frame."""
    noise = np.random.default_rng(seed).normal(size=(CELLS, CELLS))
    leaves = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), LEAF)[CELLS:-CELLS, CELLS:-CELLS]
    dark = leaves < np.quantile(leaves, SHADED)
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        # On a plane, a point's distance is one over the rows that it lies below the horizon.
        below = np.maximum(np.arange(height) / height - HORIZON, 1e-3)[:, None]
        ahead = 0.5 / below + ADVANCE * number
        aside = (np.arange(width) / width - 0.5) / below
        # The patch repeats in all directions.
        places = (np.mod(each * CELLS / PATCH, CELLS).astype(np.int64) for each in (ahead, aside))
        shade = dark[tuple(np.broadcast_arrays(*places))] & (below > NO_SHADOW)
        soft = cv2.GaussianBlur(shade.astype(np.float32), (5, 5), 0)[..., None]
        yield np.rint(picture * (1 - soft * (1 - SHADE))).astype(np.uint8)


def pale(pictures: Iterator[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """Yield pictures in which everything is nearer to white."""
    for picture in pictures:
        yield np.rint(255 - (255 - picture.astype(np.float32)) * PALE).astype(np.uint8)


CONDITIONS: dict[str, Callable[[Iterator[np.ndarray], int], Iterator[np.ndarray]]] = {
    "unchanged": unchanged,
    "dusk": dusk,
    "shadows": shadows,
    "pale": pale,
}
