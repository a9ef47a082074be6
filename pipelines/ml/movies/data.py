"""Viewers with the ratings they had given, and those that they gave next; the last weeks test."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.training.frames import rows

from .model import FILMS, OCCUPATIONS, Rating, Viewer

Truth = dict[str, Any]
RATINGS = pa.DataFrameSchema(
    {
        "user_id": pa.Column(int, pa.Check.in_range(1, 943)),
        "item_id": pa.Column(int, pa.Check.in_range(1, FILMS)),
        "rating": pa.Column(int, pa.Check.in_range(1, 5)),
        "timestamp": pa.Column(int, pa.Check.gt(0)),
    },
    unique=["user_id", "item_id"],
)
VIEWERS = pa.DataFrameSchema(
    {
        "user_id": pa.Column(int, unique=True),
        "age": pa.Column(int, pa.Check.in_range(5, 110)),
        "gender": pa.Column(str, pa.Check.isin(["F", "M"])),
        "occupation": pa.Column(str, pa.Check.isin(OCCUPATIONS)),
    },
    strict="filter",
)


def table(dataset: Dataset, file: str) -> pd.DataFrame:
    """The file's columns without the type that their names carry."""
    frame = pd.read_csv(dataset.path(file), sep="\t")
    return frame.rename(columns=lambda name: str(name).partition(":")[0])


def splits(dataset: Dataset, *, test_share: float) -> dict[str, Iterable[tuple[Viewer, Truth]]]:
    """Viewers in the order of their first rating, with the stars of the films rated next.

    The last `test_share` of all ratings are the test's: nothing from then on is in the training
    rows. Of each viewer's ratings before or after that moment the earlier half is what they send,
    the later half what they are asked for; test viewers also send what they gave before it.
    """
    ratings = RATINGS.validate(table(dataset, "ratings.tsv"), inplace=True)
    ratings = ratings.sort_values(["timestamp", "user_id", "item_id"], ignore_index=True)
    known = VIEWERS.validate(table(dataset, "viewers.tsv"))
    people = {row.pop("user_id"): row for row in rows(known)}
    moment = ratings["timestamp"].iloc[int(len(ratings) * (1 - test_share))]
    before = ratings["timestamp"] < moment
    return {
        "train": viewers(ratings[before], people, asked_from=0),
        "test": viewers(ratings, people, asked_from=int(moment)),
    }


def viewers(
    ratings: pd.DataFrame, people: dict[Any, dict[str, Any]], *, asked_from: int
) -> list[tuple[Viewer, Truth]]:
    """Those with ratings at or after `asked_from`."""
    found = []
    for user, own in ratings.groupby("user_id", sort=False):
        times = own["timestamp"].to_numpy()
        late = times[times >= asked_from]
        if not len(late):
            continue
        # Ratings of one moment are not torn apart: what is asked comes after all that is sent.
        sent = times < late[len(late) // 2]
        told = [Rating(film=row["item_id"], stars=row["rating"]) for row in rows(own[sent])]
        films, stars = own.loc[~sent, "item_id"].tolist(), own.loc[~sent, "rating"].tolist()
        viewer = Viewer(ratings=told, films=films, **people[user])
        found.append((viewer, {"stars": stars, "mean_stars": float(np.mean(stars))}))
    return found
