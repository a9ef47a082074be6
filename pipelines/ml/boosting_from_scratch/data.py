"""Blocks, labelled with the median value of their houses, split at random."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import HIGHEST, OCEAN, Block

FIELDS = {
    "housing_median_age": "house_age",
    "total_rooms": "rooms",
    "total_bedrooms": "bedrooms",
    "median_income": "income",
    "ocean_proximity": "ocean",
}
SCHEMA = pa.DataFrameSchema(
    {
        "longitude": pa.Column(float, pa.Check.in_range(-125, -114)),
        "latitude": pa.Column(float, pa.Check.in_range(32, 42.5)),
        "total_bedrooms": pa.Column(float, pa.Check.ge(1), nullable=True),
        "households": pa.Column(float, pa.Check.ge(1)),
        "ocean_proximity": pa.Column(str, pa.Check.isin(OCEAN)),
        "median_house_value": pa.Column(float, pa.Check.in_range(10_000, HIGHEST)),
    }
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Block, float]]]:
    """Return blocks by split, labelled with dollars."""
    frame = SCHEMA.validate(pd.read_csv(dataset.path("california_housing.csv.gz")))
    sides = train_test_split(frame, test_size=test_share, random_state=seed)
    return {name: blocks(side) for name, side in zip(("train", "test"), sides, strict=True)}


def blocks(frame: pd.DataFrame) -> list[tuple[Block, float]]:
    """Return the rows of the raw table as labelled records."""
    values = frame["median_house_value"]
    records = to_dicts(frame.drop(columns=values.name).rename(columns=FIELDS))
    return [(Block(**row), value) for row, value in zip(records, values, strict=True)]
