"""Block groups, labelled with the median value of their houses, split at random."""

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.kits.splits import random_split

from .model import FIELDS, HIGHEST, BlockGroup

SCHEMA = pa.DataFrameSchema(
    {
        "longitude": pa.Column(float, pa.Check.in_range(-125, -114)),
        "latitude": pa.Column(float, pa.Check.in_range(32, 42.5)),
        "total_bedrooms": pa.Column(float, pa.Check.ge(1), nullable=True),
        "households": pa.Column(float, pa.Check.ge(1)),
        "median_house_value": pa.Column(float, pa.Check.in_range(10_000, HIGHEST)),
    }
)
SAME = {"housing_median_age": "house_age", "median_income": "income"}
PER_HOUSEHOLD = {
    "total_rooms": "rooms_per_household",
    "total_bedrooms": "bedrooms_per_household",
    "population": "people_per_household",
}


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, list[tuple[BlockGroup, float]]]:
    """Return blocks by split, labelled with dollars."""
    frame = SCHEMA.validate(pd.read_csv(dataset.path("california_housing.csv.gz")))
    return random_split(blocks(frame), test_share, seed)


def blocks(frame: pd.DataFrame) -> list[tuple[BlockGroup, float]]:
    """Return the rows of the raw table as labelled records."""
    fields = frame.rename(columns=SAME)
    for total, name in PER_HOUSEHOLD.items():
        fields[name] = frame[total] / frame["households"]
    rows = fields[list(FIELDS)].to_dict("records")
    # What is unknown is left out, so that the record's usual value stands for it.
    known = [{str(name): value for name, value in row.items() if value == value} for row in rows]
    values = frame["median_house_value"].tolist()
    return [(BlockGroup(**row), value) for row, value in zip(known, values, strict=True)]
