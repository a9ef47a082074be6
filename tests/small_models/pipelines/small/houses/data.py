"""Houses in the order of the file; every `every`-th one is a test row."""

import csv
from collections.abc import Iterable

from slipway.datasets import Dataset

from .model import House


def splits(dataset: Dataset, *, every: int) -> dict[str, Iterable[tuple[House, float]]]:
    """Split the houses, labelled with their prices in thousands."""
    with dataset.path("houses.csv").open() as stream:
        rows = [
            (
                House(
                    area=float(line["area"]),
                    rooms=int(line["rooms"]),
                    detached=line["detached"] == "1",
                ),
                float(line["price"]),
            )
            for line in csv.DictReader(stream)
        ]
    train = [row for place, row in enumerate(rows) if place % every]
    return {"train": train, "test": rows[::every]}
