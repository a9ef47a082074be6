"""Degraded pictures, each with its original; no picture is in two splits."""

from collections.abc import Iterator

import numpy as np

from slipway.datasets import Dataset
from slipway.kits.metrics.pictures import psnr
from slipway.media import encode_png

from .enhancing import equalizing_curve, recolor, to_gray
from .model import Original, Photo
from .pictures import DEGRADATIONS, degrade, read_pictures


def splits(
    dataset: Dataset, *, seed: int, draws: int
) -> dict[str, Iterator[tuple[Photo, Original]]]:
    """Return `train` and `test`: every picture `draws` times with each degradation."""
    return {
        "train": photos("train", draws, np.random.default_rng(seed)),
        "test": photos("test", draws, np.random.default_rng(seed + 1)),
    }


def photos(
    part: str, draws: int, generator: np.random.Generator
) -> Iterator[tuple[Photo, Original]]:
    """Yield degraded pictures of one split."""
    pictures = read_pictures(part, further=False)
    for _ in range(draws):
        for kind in DEGRADATIONS:
            for name, image in pictures.items():
                degraded = degrade(image, kind, generator)
                gray = to_gray(degraded)
                equalized = recolor(degraded, gray, equalizing_curve(gray)[gray])
                yield (
                    Photo(image=encode_png(degraded)),
                    Original(
                        image=encode_png(image),
                        picture=name,
                        degraded_psnr=psnr(image, degraded),
                        equalized_psnr=psnr(image, equalized),
                    ),
                )
