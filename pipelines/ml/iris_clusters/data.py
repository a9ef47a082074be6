"""Split the measured flowers; their species is the label, used to score and never to learn."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset

from .model import LENGTHS, Flower

SPECIES = ("setosa", "versicolor", "virginica")
SCHEMA = pa.DataFrameSchema(
    {
        **{name: pa.Column(float, pa.Check.in_range(0, 20)) for name in LENGTHS},
        "species": pa.Column(int, pa.Check.isin(range(len(SPECIES)))),
    }
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Flower, str]]]:
    """Return flowers, each with its species, by split.

    Flowers of equal lengths are kept once (149 remain); otherwise one could be in both splits.
    """
    names = [*LENGTHS, "species"]
    raw = pd.read_csv(dataset.path("iris.csv"), skiprows=1, names=names)
    frame = SCHEMA.validate(raw).drop_duplicates(list(LENGTHS))
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame["species"]
    )
    return {"train": flowers(train), "test": flowers(test)}


def flowers(frame: pd.DataFrame) -> list[tuple[Flower, str]]:
    return [
        (Flower(**{name: row[name] for name in LENGTHS}), SPECIES[row["species"]])
        for row in frame.to_dict("records")
    ]
