"""Handwritten digits on canvases, with their boxes.

For a data set of your own, `slipway.kits.readers.coco.read_coco` yields pictures with boxes.
"""

from slipway.datasets import Dataset
from slipway.kits.digit_canvases import digit_canvases
from slipway.kits.splits import random_split
from slipway.media import encode_png

from .model import Digits, Picture


def splits(
    dataset: Dataset, *, seed: int, pictures: int, test_share: float
) -> dict[str, list[tuple[Picture, Digits]]]:
    """Split the pictures, with the boxes of their digits as ground truth."""
    rows = [
        (Picture(image=encode_png(each.image)), Digits(boxes=each.boxes))
        for each in digit_canvases(dataset.path("digits.csv.gz"), pictures, seed)
    ]
    return random_split(rows, test_share, seed)
