"""Readings in the order of the file; every `every`-th one is a test row."""

import csv
from collections.abc import Iterable

from slipway.datasets import Dataset

from .model import PLACES, Reading

Rows = Iterable[tuple[Reading, bool]]


def splits(dataset: Dataset, *, every: int) -> dict[str, Rows]:
    """Split the readings, labelled with whether they are unusual."""
    with dataset.path("readings.csv").open() as stream:
        rows = [
            (Reading(**{place: float(line[place]) for place in PLACES}), line["unusual"] == "1")
            for line in csv.DictReader(stream)
        ]
    train = [row for place, row in enumerate(rows) if place % every]
    return {"train": train, "test": rows[::every]}
