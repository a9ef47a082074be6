"""Split the passenger list into training and test rows with the same share of survivors."""

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.kits.readers.table import labelled_rows, split_table

from .model import Passenger

COLUMNS = {
    "Name": "name",
    "Sex": "sex",
    "Pclass": "passenger_class",
    "Age": "age",
    "SibSp": "siblings_spouses",
    "Parch": "parents_children",
    "Fare": "fare",
    "Embarked": "embarked",
    "Cabin": "cabin",
}
SCHEMA = pa.DataFrameSchema(
    {
        "PassengerId": pa.Column(int, unique=True),
        "Survived": pa.Column(int, pa.Check.isin([0, 1])),
        "Pclass": pa.Column(int, pa.Check.isin([1, 2, 3])),
        "Sex": pa.Column(str, pa.Check.isin(["female", "male"])),
        "Age": pa.Column(float, pa.Check.in_range(0, 110), nullable=True),
        "Fare": pa.Column(float, pa.Check.in_range(0, 1000)),
        "Embarked": pa.Column(str, pa.Check.isin(["C", "Q", "S"]), nullable=True),
    }
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, list[tuple[Passenger, bool]]]:
    """Return passengers, each with whether they survived, by split."""
    frame = SCHEMA.validate(pd.read_csv(dataset.path("train.csv")))
    parts = split_table(frame, test_share, seed, same_shares="Survived")
    return {
        name: labelled_rows(part, Passenger, COLUMNS, (part["Survived"] == 1).tolist())
        for name, part in parts.items()
    }
