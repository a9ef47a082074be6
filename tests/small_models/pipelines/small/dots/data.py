"""Plates in the order of the file; every `every`-th one is a test row."""

import csv
from collections.abc import Iterable

import numpy as np

from slipway.datasets import Dataset
from slipway.media import Box, encode_png

from .model import SIDE, Dots, Plate

WIDTH = 3
Rows = Iterable[tuple[Plate, Dots]]


def splits(dataset: Dataset, *, every: int) -> dict[str, Rows]:
    """Draw the plates, labelled with their dots."""
    with dataset.path("dots.csv").open() as stream:
        rows = [plate([each for each in line.values() if each]) for line in csv.DictReader(stream)]
    train = [row for place, row in enumerate(rows) if place % every]
    return {"train": train, "test": rows[::every]}


def plate(places: list[str]) -> tuple[Plate, Dots]:
    """Return a plate with dots at the places, such as `4:11`."""
    picture, boxes = np.full((SIDE, SIDE), 30, dtype=np.uint8), []
    for place in places:
        x, y = map(int, place.split(":"))
        picture[y : y + WIDTH, x : x + WIDTH] = 220
        boxes.append(Box(x1=x, y1=y, x2=x + WIDTH, y2=y + WIDTH, label="dot"))
    return Plate(image=encode_png(picture)), Dots(dots=boxes)
