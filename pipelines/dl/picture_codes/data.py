"""Small photographs with and without noise, and what simpler methods make of each.

No picture is in two splits, and no training picture nearly equals a test picture.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from slipway.datasets import Dataset
from slipway.kits.centered import square_pixels
from slipway.kits.metrics.pictures import psnr
from slipway.kits.readers.cifar10 import read_cifar10
from slipway.media import encode_png

from .components import Components
from .model import NUMBERS, SIDE, CleanPicture, SmallPicture

# The strength of each filter is chosen on so many training pictures.
TUNED = 200
BLURS = (0.5, 0.6, 0.7, 0.8, 1.0, 1.2)
RANGES = (50.0, 80.0, 110.0, 150.0, 200.0)
Filter = Callable[[np.ndarray, float], np.ndarray]
Row = tuple[SmallPicture, CleanPicture]


def splits(
    dataset: Dataset, *, seed: int, train: int, test: int, noise: float
) -> dict[str, Iterator[Row]]:
    """Return `train` pictures without noise; each of `test` pictures once without, once with it."""
    parts = read_cifar10(dataset.path("cifar10_jpeg.tar.xz"))
    learned, tested = (
        np.stack([square_pixels(each.content, SIDE) for each in parts[name][:count]])
        for name, count in (("train", train), ("test", test))
    )
    generator = np.random.default_rng(seed)
    methods = Methods(learned, noise, generator)
    return {
        "train": (methods.row(image, image, 0) for image in learned),
        "test": (row for image in tested for row in methods.rows(image, generator)),
    }


class Methods:
    """The methods to compare with, their strengths chosen on training pictures."""

    def __init__(self, learned: np.ndarray, noise: float, generator: np.random.Generator) -> None:
        self.noise = noise
        self.components = Components.from_pictures(learned / 255, NUMBERS)
        clean = learned[:TUNED]
        noisy = [noised(image, noise, generator) for image in clean]
        pairs = list(zip(clean, noisy, strict=True))
        self.blur = max(BLURS, key=lambda each: mean_psnr(pairs, blurred, each))
        self.range = max(RANGES, key=lambda each: mean_psnr(pairs, smoothed, each))

    def rows(self, image: np.ndarray, generator: np.random.Generator) -> list[Row]:
        """Return a picture (height, width, 3) as it is, and with noise."""
        noisy = noised(image, self.noise, generator)
        return [self.row(image, image, 0), self.row(noisy, image, self.noise)]

    def row(self, sent: np.ndarray, clean: np.ndarray, noise: float) -> Row:
        """Return the record of a picture, and the clean one with the likeness of each method."""
        linear = 255 * self.components.reconstructed(sent[None] / 255)[0]
        label = CleanPicture(
            picture=encode_png(clean),
            noise=noise,
            input_psnr=psnr(clean, sent),
            pca_psnr=psnr(clean, np.round(linear)),
            gaussian_psnr=psnr(clean, blurred(sent, self.blur)),
            bilateral_psnr=psnr(clean, smoothed(sent, self.range)),
        )
        return SmallPicture(image=encode_png(sent)), label


def noised(image: np.ndarray, noise: float, generator: np.random.Generator) -> np.ndarray:
    """Return a picture with normal noise of this standard deviation, rounded to levels."""
    values = image + generator.normal(0, noise, image.shape)
    return np.round(values).clip(0, 255).astype(np.uint8)


def blurred(image: np.ndarray, strength: float) -> np.ndarray:
    """Return the picture after a Gaussian filter of this standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), strength))


def smoothed(image: np.ndarray, strength: float) -> np.ndarray:
    """Return the picture after a bilateral filter, which spares edges steeper than `strength`."""
    return np.asarray(cv2.bilateralFilter(np.ascontiguousarray(image), 7, strength, 1.2))


def mean_psnr(pairs: list[tuple[np.ndarray, np.ndarray]], method: Filter, strength: float) -> float:
    """Return how near a filter brings noisy pictures to the clean ones, in decibels."""
    return float(np.mean([psnr(clean, method(noisy, strength)) for clean, noisy in pairs]))
