"""Split the sales by time: the last weeks are the test rows, as for a model in use."""

from collections.abc import Iterable, Iterator

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import House

# Columns whose field of `House` has another name.
FIELDS = {
    "sale_date": "sold_on",
    "zipcode": "zip_code",
    "lat": "latitude",
    "long": "longitude",
    "sqft_living": "living_area",
    "sqft_above": "area_above_ground",
    "sqft_lot": "lot_area",
    "sqft_living15": "neighbours_living_area",
    "sqft_lot15": "neighbours_lot_area",
    "yr_built": "year_built",
    "yr_renovated": "year_renovated",
}
# What the record's own constraints do not check.
SCHEMA = pa.DataFrameSchema(
    {
        "price": pa.Column(float, pa.Check.in_range(50_000, 10_000_000)),
        "sale_date": pa.Column(str, pa.Check.str_matches(r"^201[45]-"), nullable=True),
        "waterfront": pa.Column(int, pa.Check.isin([0, 1])),
    },
    checks=[
        pa.Check(lambda frame: frame["sqft_above"] + frame["sqft_basement"] == frame["sqft_living"])
    ],
)


def splits(
    dataset: Dataset, *, seed: int, test_from: str
) -> dict[str, Iterable[tuple[House, float]]]:
    """Return houses, each with its price in dollars; test rows are sales from `test_from` on.

    796 sales without a date are left out, since they cannot be assigned to a split. Training rows
    are shuffled, so that the first few hundred, on which tests train, cover all months.
    """
    path = dataset.path("king_county_houses.csv.gz")
    table = pd.read_csv(path, dtype={"zipcode": str, "sale_date": str})
    table = SCHEMA.validate(table).dropna(subset=["sale_date"])
    later = table["sale_date"] >= test_from
    return {
        "train": houses(table[~later].sample(frac=1, random_state=seed)),
        "test": houses(table[later].sort_values("sale_date", kind="stable")),
    }


def houses(table: pd.DataFrame) -> Iterator[tuple[House, float]]:
    frame = table.rename(columns=FIELDS)[list(House.model_fields)]
    frame["waterfront"] = frame["waterfront"] == 1
    # 0 means never.
    frame["year_renovated"] = frame["year_renovated"].where(frame["year_renovated"] > 0)
    for row, price in zip(to_dicts(frame), table["price"].tolist(), strict=True):
        yield House(**row), price
