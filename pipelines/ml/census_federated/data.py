"""People of the census, split at random; no person is in both splits."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset

from .model import Person

COLUMNS = (
    "age employer weight degree education married occupation relationship race sex capital_gain "
    "capital_loss hours country income"
).split()
SCHEMA = pa.DataFrameSchema(
    {
        "age": pa.Column(int, pa.Check.in_range(16, 120)),
        "education": pa.Column(int, pa.Check.in_range(1, 16)),
        "hours": pa.Column(int, pa.Check.in_range(1, 99)),
        "capital_gain": pa.Column(int, pa.Check.in_range(0, 99_999)),
        "capital_loss": pa.Column(int, pa.Check.in_range(0, 99_999)),
        "income": pa.Column(str, pa.Check.isin(["<=50K", ">50K"])),
    }
)
# Columns left out of `Person`: `weight` is a sampling weight, `degree` repeats `education`,
# `relationship` (husband, wife) reveals the sex, and `country` the origin.
NAMES = ("employer", "married", "occupation", "race", "sex")


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Person, bool]]]:
    """Return people by split, labelled with whether they earned over 50,000 dollars."""
    raw = pd.read_csv(dataset.path("adult.data"), header=None, names=COLUMNS, skipinitialspace=True)
    # 24 lines are complete duplicates.
    frame = SCHEMA.validate(raw).drop_duplicates()
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame["income"]
    )
    return {"train": people(train), "test": people(test)}


def people(frame: pd.DataFrame) -> list[tuple[Person, bool]]:
    """Return the rows of the raw table as labelled records."""
    wanted = list(Person.model_fields)
    texts = frame.assign(**{name: frame[name].map(plain) for name in NAMES})
    return [
        (Person(**{name: row[name] for name in wanted}), row["income"] == ">50K")
        for row in texts.to_dict("records")
    ]


def plain(value: str) -> str | None:
    """Return `self_emp_inc` for `Self-emp-inc`, and None for a question mark."""
    return None if value == "?" else value.lower().replace("-", "_")
