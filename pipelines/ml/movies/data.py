"""Split viewers' ratings by time: those that a viewer sends, and the later ones to predict."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import FILMS, OCCUPATIONS, Rating, Viewer

Label = dict[str, Any]
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
    """Return the file's table, the type after the colon removed from its column names."""
    frame = pd.read_csv(dataset.path(file), sep="\t")
    return frame.rename(columns=lambda name: str(name).partition(":")[0])


def splits(dataset: Dataset, *, test_share: float) -> dict[str, Iterable[tuple[Viewer, Label]]]:
    """Return viewers in the order of their first rating, with the stars of the films rated next.

    The last `test_share` of all ratings belong to the test rows, and training rows contain nothing
    from that moment on. A viewer sends the earlier half of their ratings before or after that
    moment; the later half is to be predicted. Test viewers also send their ratings before it.
    """
    ratings = RATINGS.validate(table(dataset, "ratings.tsv"), inplace=True)
    ratings = ratings.sort_values(["timestamp", "user_id", "item_id"], ignore_index=True)
    known = VIEWERS.validate(table(dataset, "viewers.tsv"))
    people = {row.pop("user_id"): row for row in to_dicts(known)}
    moment = ratings["timestamp"].iloc[int(len(ratings) * (1 - test_share))]
    before = ratings["timestamp"] < moment
    return {
        "train": viewers(ratings[before], people, labels_from=0),
        "test": viewers(ratings, people, labels_from=int(moment)),
    }


def viewers(
    ratings: pd.DataFrame, people: dict[Any, dict[str, Any]], *, labels_from: int
) -> list[tuple[Viewer, Label]]:
    """Return the viewers with ratings at or after `labels_from`, with the stars to predict."""
    found = []
    for user, own in ratings.groupby("user_id", sort=False):
        times = own["timestamp"].to_numpy()
        late = times[times >= labels_from]
        if not len(late):
            continue
        # Ratings of one moment stay together: those to predict come after all that are sent.
        sent = times < late[len(late) // 2]
        earlier = [Rating(film=row["item_id"], stars=row["rating"]) for row in to_dicts(own[sent])]
        films, stars = own.loc[~sent, "item_id"].tolist(), own.loc[~sent, "rating"].tolist()
        viewer = Viewer(ratings=earlier, films=films, **people[user])
        found.append((viewer, {"stars": stars, "mean_stars": float(np.mean(stars))}))
    return found
