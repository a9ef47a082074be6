"""Half hours in their order, each with what was known as it ended and what the next one brought."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import DAY, Market

NAMES = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
SCHEMA = pa.DataFrameSchema(
    {
        **{name: pa.Column(float, pa.Check.in_range(0, 1)) for name in NAMES},
        "class": pa.Column(int, pa.Check.isin([0, 1])),
    },
    # 944 whole days, none missing: so rows are half hours, and weekdays can be counted.
    checks=pa.Check(lambda frame: (frame["period"] * 47).round() == np.arange(len(frame)) % DAY),
)
# 7 May 1996.
FIRST_WEEKDAY = 1


def splits(dataset: Dataset, *, test_share: float) -> dict[str, Iterable[tuple[Market, bool]]]:
    """Markets with whether the price of the half hour after was up; the test's are the last."""
    frame = streamed(SCHEMA.validate(pd.read_csv(dataset.path("elec2.csv.gz"))))
    border = int(len(frame) * (1 - test_share))
    return {"train": markets(frame.iloc[:border]), "test": markets(frame.iloc[border:])}


def streamed(table: pd.DataFrame) -> pd.DataFrame:
    """Rows as they are known when their half hour ends, `truth` being told half an hour later.

    The published row holds the price that its own label is made of: who is asked ahead of it knows
    the row before. The first day has no day before it, and the last half hour none after.
    """
    price, demand = table["nswprice"], table["nswdemand"]
    place = np.arange(len(table))
    frame = pd.DataFrame(
        {
            "half_hour": place % DAY,
            "weekday": (place // DAY + FIRST_WEEKDAY) % 7,
            "price": price,
            "price_before": price.shift(1),
            "price_yesterday": price.shift(DAY - 1),
            "price_day": price.rolling(DAY).mean().clip(0, 1),
            "demand": demand,
            "demand_before": demand.shift(1),
            "demand_yesterday": demand.shift(DAY - 1),
            "vic_price": table["vicprice"],
            "vic_demand": table["vicdemand"],
            "transfer": table["transfer"],
            "is_up": table["class"] == 1,
            "truth": table["class"].shift(-1) == 1,
        }
    )
    return frame.iloc[DAY:-1]


def markets(frame: pd.DataFrame) -> Iterator[tuple[Market, bool]]:
    truths = frame["truth"].tolist()
    rows = frame.drop(columns="truth").to_dict("records")
    return ((Market.model_validate(row), truth) for row, truth in zip(rows, truths, strict=True))
