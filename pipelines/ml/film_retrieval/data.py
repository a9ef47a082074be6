"""Viewers with what they had rated and what they rated next; everything after a moment tests."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import FILMS, OCCUPATIONS, Viewer

Truth = dict[str, Any]
RETRIEVED = 100
RATINGS = pa.DataFrameSchema(
    {
        "viewer": pa.Column(int, pa.Check.in_range(1, 943)),
        "film": pa.Column(int, pa.Check.in_range(1, FILMS)),
        "stars": pa.Column(int, pa.Check.in_range(1, 5)),
        "time": pa.Column(int, pa.Check.gt(0)),
    },
    unique=["viewer", "film"],
)
PEOPLE = pa.DataFrameSchema(
    {
        "viewer": pa.Column(int, unique=True),
        "age": pa.Column(int, pa.Check.in_range(5, 110)),
        "gender": pa.Column(str, pa.Check.isin(["F", "M"])),
        "occupation": pa.Column(str, pa.Check.isin(OCCUPATIONS)),
        "zip_code": pa.Column(str),
    }
)


def splits(dataset: Dataset, *, test_share: float) -> dict[str, Iterable[tuple[Viewer, Truth]]]:
    """The last `test_share` of all ratings test; nothing from their first moment on trains.

    A viewer's own ratings are cut in the middle of those on the same side of that moment: the
    earlier half is sent, the later one is what happened next. Whoever is first seen after the
    moment is asked about a second time without a history: a cold viewer, of whom all is next.
    """
    ratings = ratings_of(dataset)
    people = pd.read_csv(dataset.path("viewers.tsv"), sep="\t")
    people = PEOPLE.validate(people.set_axis([*PEOPLE.columns], axis=1)).drop(columns="zip_code")
    who: dict[Any, Any] = people.set_index("viewer").to_dict("index")
    moment = int(ratings["time"].iloc[int(len(ratings) * (1 - test_share))])
    train, test = [], []
    for number, own in ratings.groupby("viewer", sort=False):
        known = who[number]
        before, after = own[own["time"] < moment], own[own["time"] >= moment]
        if len(before):
            train.append(asked(before, before, known))
        if len(after):
            viewer, truth = asked(own, after, known, retrieved=RETRIEVED)
            test += [(viewer, truth)] if viewer.history else []
        if not len(before):
            test.append((Viewer(**known, retrieved=RETRIEVED), happened(own, cold=True)))
    return {"train": train, "test": test}


def ratings_of(dataset: Dataset) -> pd.DataFrame:
    """Viewer, film, stars, time of every rating in the order of time."""
    frame = pd.read_csv(dataset.path("ratings.tsv"), sep="\t")
    frame = RATINGS.validate(frame.set_axis([*RATINGS.columns], axis=1))
    return frame.sort_values(["time", "viewer", "film"], ignore_index=True)


def asked(
    own: pd.DataFrame, late: pd.DataFrame, known: dict[str, Any], retrieved: int = 0
) -> tuple[Viewer, Truth]:
    """Ratings of one moment are not torn apart: what happened next comes after all that is sent."""
    middle = late["time"].iloc[len(late) // 2]
    sent = own.loc[own["time"] < middle, ["film", "stars"]].to_dict("records")
    viewer = Viewer.model_validate({"history": sent, **known, "retrieved": retrieved})
    return viewer, happened(own[own["time"] >= middle], cold=False)


def happened(then: pd.DataFrame, *, cold: bool) -> Truth:
    return {"films": then["film"].tolist(), "stars": then["stars"].tolist(), "cold": cold}
