"""Pictures as PNG, in the order of the file; every `every`-th one is a test row."""

import csv
from collections.abc import Iterable
from io import BytesIO

import numpy as np
from PIL import Image

from slipway.datasets import Dataset

from .model import SIDE, Picture


def splits(dataset: Dataset, *, every: int) -> dict[str, Iterable[tuple[Picture, str]]]:
    """Split the pictures with their labels."""
    with dataset.path("shapes.csv").open() as stream:
        rows = [
            (Picture(image=png(line["brightness"])), line["label"])
            for line in csv.DictReader(stream)
        ]
    train = [row for place, row in enumerate(rows) if place % every]
    return {"train": train, "test": rows[::every]}


def png(brightness: str) -> bytes:
    """Encode a picture that is given as 64 hexadecimal digits, row by row."""
    values = np.array([int(digit, 16) * 17 for digit in brightness], dtype=np.uint8)
    packed = BytesIO()
    Image.fromarray(values.reshape(SIDE, SIDE)).save(packed, "PNG")
    return packed.getvalue()
