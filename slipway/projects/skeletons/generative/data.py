"""Handwritten digits on canvases, with noise and without."""

import numpy as np

from slipway.datasets import Dataset
from slipway.kits.digit_canvases import digit_canvases
from slipway.kits.splits import random_split
from slipway.media import encode_png

from .model import Clean, Noisy


def splits(
    dataset: Dataset, *, seed: int, pictures: int, noise: float, test_share: float
) -> dict[str, list[tuple[Noisy, Clean]]]:
    """Split the pictures; the ground truth is the picture without the added noise."""
    generator = np.random.default_rng(seed)
    rows = []
    for each in digit_canvases(dataset.path("digits.csv.gz"), pictures, seed):
        clean = np.where(each.image < 60, 0, each.image).astype(np.uint8)
        noisy = np.clip(clean + generator.normal(0, noise, clean.shape), 0, 255).astype(np.uint8)
        rows.append((Noisy(image=encode_png(noisy)), Clean(picture=encode_png(clean))))
    return random_split(rows, test_share, seed)
