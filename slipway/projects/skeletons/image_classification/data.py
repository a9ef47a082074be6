"""Handwritten digits as PNG files."""

from slipway.datasets import Dataset
from slipway.kits.digit_canvases import read_digits
from slipway.kits.splits import random_split
from slipway.media import encode_png

from .model import Picture


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, list[tuple[Picture, str]]]:
    """Split the pictures, with their digits as labels."""
    images, labels = read_digits(dataset.path("digits.csv.gz"))
    records = [Picture(image=encode_png(image)) for image in images]
    return random_split(list(zip(records, labels, strict=True)), test_share, seed)
