"""Viewers with their past ratings, labelled with their next ones, and split at a moment."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import FILMS, OCCUPATIONS, Viewer

Label = dict[str, Any]
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


def splits(dataset: Dataset, *, test_share: float) -> dict[str, Iterable[tuple[Viewer, Label]]]:
    """Return viewers by split; the last `test_share` of all ratings is for the test.

    No rating from the beginning of that period on is used for training. The ratings of a viewer in
    one split are cut in half: the earlier half is in the record, and the later one is the label. A
    viewer who first appears in the test period has a second row without a history, as a cold viewer
    whose label is all ratings.
    """
    ratings = ratings_of(dataset)
    people = pd.read_csv(dataset.path("viewers.tsv"), sep="\t")
    people = PEOPLE.validate(people.set_axis([*PEOPLE.columns], axis=1)).drop(columns="zip_code")
    profiles: dict[Any, Any] = people.set_index("viewer").to_dict("index")
    moment = int(ratings["time"].iloc[int(len(ratings) * (1 - test_share))])
    train, test = [], []
    for number, own in ratings.groupby("viewer", sort=False):
        known = profiles[number]
        before, after = own[own["time"] < moment], own[own["time"] >= moment]
        if len(before):
            train.append(labelled(before, before, known))
        if len(after):
            viewer, label = labelled(own, after, known, retrieved=RETRIEVED)
            test += [(viewer, label)] if viewer.history else []
        if not len(before):
            test.append((Viewer(**known, retrieved=RETRIEVED), label_of(own, cold=True)))
    return {"train": train, "test": test}


def ratings_of(dataset: Dataset) -> pd.DataFrame:
    """Return viewer, film, stars and time of every rating in order of time."""
    frame = pd.read_csv(dataset.path("ratings.tsv"), sep="\t")
    frame = RATINGS.validate(frame.set_axis([*RATINGS.columns], axis=1))
    return frame.sort_values(["time", "viewer", "film"], ignore_index=True)


def labelled(
    own: pd.DataFrame, late: pd.DataFrame, known: dict[str, Any], retrieved: int = 0
) -> tuple[Viewer, Label]:
    """Return a viewer with the ratings before the middle of `late`, labelled with the later ones.

    Ratings of the same moment are kept together, so that the label is after the whole history.
    """
    middle = late["time"].iloc[len(late) // 2]
    sent = own.loc[own["time"] < middle, ["film", "stars"]].to_dict("records")
    viewer = Viewer.model_validate({"history": sent, **known, "retrieved": retrieved})
    return viewer, label_of(own[own["time"] >= middle], cold=False)


def label_of(ratings: pd.DataFrame, *, cold: bool) -> Label:
    return {"films": ratings["film"].tolist(), "stars": ratings["stars"].tolist(), "cold": cold}
