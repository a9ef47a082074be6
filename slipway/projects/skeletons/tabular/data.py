"""Iris flowers, split with the same share of each species in both parts."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset

from .model import SPECIES, Flower

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
SCHEMA = pa.DataFrameSchema({"species": pa.Column(int, pa.Check.isin([0, 1, 2]))})


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Flower, str]]]:
    """Split the flowers, with their species as labels."""
    raw = pd.read_csv(dataset.path("iris.csv"), skiprows=1, names=COLUMNS)
    frame = SCHEMA.validate(raw)
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame["species"]
    )
    return {"train": flowers(train), "test": flowers(test)}


def flowers(frame: pd.DataFrame) -> list[tuple[Flower, str]]:
    return [
        (Flower(**{name: row[name] for name in COLUMNS[:4]}), SPECIES[int(row["species"])])
        for row in frame.to_dict("records")
    ]
