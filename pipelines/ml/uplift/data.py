"""Split the experiment's customers at random within the arms, and check their balance."""

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
# Known before the randomization, so their distribution must be the same in all arms.
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
# Standard deviations between two arms. By chance, 21,300 per arm give 0.03 once in 500 pairs.
MOST_APART = 0.05
# The lowest accepted p-value of the arms' sizes under an even randomization.
LEAST_CHANCE = 1e-4


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Shopper, dict[str, Any]]]]:
    """Return customers, each with their randomized e-mail and whether they visited."""
    frame = SCHEMA.validate(pd.read_csv(dataset.path("hillstrom_email.csv.gz")))
    check_balance(frame)
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[["segment", "visit"]]
    )
    return {"train": shoppers(train), "test": shoppers(test)}


def check_balance(frame: pd.DataFrame) -> None:
    """Check the randomization by the arms' sizes and by columns known before it.

    Raises:
        ValueError: sizes or columns differ too much; the message names the column, the arms and
            the difference.
    """
    sizes = frame["segment"].value_counts()
    p_value = float(stats.chisquare(sizes).pvalue)
    if p_value < LEAST_CHANCE:
        raise ValueError(f"arms of {sizes.to_dict()} are not evenly randomized: p = {p_value:.2g}")
    for name, arms, apart in differences(frame):
        if abs(apart) > MOST_APART:
            raise ValueError(
                f"randomization: {name} differs by {apart:.3f} standard deviations between "
                f"{arms[0]} and {arms[1]}, more than {MOST_APART}"
            )


def differences(frame: pd.DataFrame) -> list[tuple[str, tuple[str, str], float]]:
    """Return standardized differences of the means, for each column and pair of arms."""
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
