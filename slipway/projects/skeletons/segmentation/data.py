"""Handwritten digits on canvases, with the pixels of their ink.

For a data set of your own, `slipway.kits.readers.masks.mask_pairs` yields pictures with masks.
"""

from slipway.datasets import Dataset
from slipway.kits.digit_canvases import digit_canvases
from slipway.kits.splits import random_split
from slipway.media import encode_png

from .model import LABELS, Ink, Picture


def splits(
    dataset: Dataset, *, seed: int, pictures: int, test_share: float
) -> dict[str, list[tuple[Picture, Ink]]]:
    """Split the pictures, with the masks of their ink as ground truth."""
    rows = [
        (Picture(image=encode_png(each.image)), Ink.from_classes(each.classes, LABELS))
        for each in digit_canvases(dataset.path("digits.csv.gz"), pictures, seed)
    ]
    return random_split(rows, test_share, seed)
