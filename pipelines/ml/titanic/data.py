"""Split the passenger list into training and test rows with the same share of survivors."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import Passenger

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
) -> dict[str, Iterable[tuple[Passenger, bool]]]:
    """Return passengers, each with whether they survived, by split."""
    frame = SCHEMA.validate(pd.read_csv(dataset.path("train.csv")))
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame["Survived"]
    )
    return {"train": passengers(train), "test": passengers(test)}


def passengers(frame: pd.DataFrame) -> list[tuple[Passenger, bool]]:
    return [
        (
            Passenger(
                name=row["Name"],
                sex=row["Sex"],
                passenger_class=row["Pclass"],
                age=row["Age"],
                siblings_spouses=row["SibSp"],
                parents_children=row["Parch"],
                fare=row["Fare"],
                embarked=row["Embarked"],
                cabin=row["Cabin"],
            ),
            row["Survived"] == 1,
        )
        for row in to_dicts(frame)
    ]
