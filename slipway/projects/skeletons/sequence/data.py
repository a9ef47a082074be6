"""Handwritten digits as sequences of rows."""

from slipway.datasets import Dataset
from slipway.kits.digit_canvases import read_digits
from slipway.kits.splits import random_split

from .model import Rows


def splits(dataset: Dataset, *, seed: int, test_share: float) -> dict[str, list[tuple[Rows, str]]]:
    """Split the sequences, with their digits as labels."""
    images, labels = read_digits(dataset.path("digits.csv.gz"))
    records = [Rows(rows=(image / 255).round(4).tolist()) for image in images]
    return random_split(list(zip(records, labels, strict=True)), test_share, seed)
