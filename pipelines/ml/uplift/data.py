"""Customers of the experiment, split at random within the arms, whose balance is checked."""

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy import stats
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset

from .model import Shopper

EMAILS = {"No E-Mail": "none", "Mens E-Mail": "mens", "Womens E-Mail": "womens"}
AREAS = {"Rural": "rural", "Surburban": "suburban", "Urban": "urban"}
CHANNELS = {"Multichannel": "multichannel", "Phone": "phone", "Web": "web"}
BINARY = ("mens", "womens", "newbie", "visit", "conversion")
# Known before the draw: chance must have made them alike in all arms.
BEFORE = ("recency", "history", "mens", "womens", "newbie", "zip_code", "channel")
SCHEMA = pa.DataFrameSchema(
    {
        "recency": pa.Column(int, pa.Check.in_range(1, 12)),
        "history": pa.Column(float, pa.Check.in_range(0, 100_000)),
        "zip_code": pa.Column(str, pa.Check.isin(list(AREAS))),
        "channel": pa.Column(str, pa.Check.isin(list(CHANNELS))),
        "segment": pa.Column(str, pa.Check.isin(list(EMAILS))),
        "spend": pa.Column(float, pa.Check.ge(0)),
        **{name: pa.Column(int, pa.Check.isin([0, 1])) for name in BINARY},
    },
    checks=[
        pa.Check(lambda frame: frame["conversion"] <= frame["visit"]),
        pa.Check(lambda frame: (frame["spend"] > 0) == (frame["conversion"] == 1)),
    ],
)
# Standard deviations between two arms. By chance alone 21,300 an arm give 0.03 once in 500 pairs.
MOST_APART = 0.05
# Of sizes that fit an even draw: less would be an accident of one in ten thousand.
LEAST_CHANCE = 1e-4


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Shopper, dict[str, Any]]]]:
    """Customers with the e-mail that they were drawn to get, and whether they came."""
    frame = SCHEMA.validate(pd.read_csv(dataset.path("hillstrom_email.csv.gz")))
    check_balance(frame)
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[["segment", "visit"]]
    )
    return {"train": shoppers(train), "test": shoppers(test)}


def check_balance(frame: pd.DataFrame) -> None:
    """Whether chance can have made the arms: their sizes, and what was known before.

    Raises:
        ValueError: it cannot; the message names the column, the arms and how far they are apart.
    """
    sizes = frame["segment"].value_counts()
    chance = float(stats.chisquare(sizes).pvalue)
    if chance < LEAST_CHANCE:
        raise ValueError(f"arms of {sizes.to_dict()} are no even draw: p = {chance:.2g}")
    for name, arms, apart in differences(frame):
        if abs(apart) > MOST_APART:
            raise ValueError(
                f"randomization: {name} differs by {apart:.3f} standard deviations between "
                f"{arms[0]} and {arms[1]}, more than {MOST_APART}"
            )


def differences(frame: pd.DataFrame) -> list[tuple[str, tuple[str, str], float]]:
    """Standardized differences of the means, column by column and pair of arms by pair."""
    before = pd.get_dummies(frame[list(BEFORE)]).astype(float)
    groups = {arm: before[frame["segment"] == arm] for arm in EMAILS}
    found = []
    for one, other in combinations(groups, 2):
        spread = np.sqrt((groups[one].var() + groups[other].var()) / 2)
        apart = (groups[other].mean() - groups[one].mean()) / spread
        found += [(str(name), (one, other), float(value)) for name, value in apart.items()]
    return found


def shoppers(frame: pd.DataFrame) -> list[tuple[Shopper, dict[str, Any]]]:
    known = frame.assign(
        area=frame["zip_code"].map(AREAS),
        channel=frame["channel"].map(CHANNELS),
        newcomer=frame["newbie"],
    )
    return [
        (
            Shopper.model_validate({name: row[name] for name in Shopper.model_fields}),
            {"email": EMAILS[row["segment"]], "visited": row["visit"] == 1},
        )
        for row in known.to_dict("records")
    ]
