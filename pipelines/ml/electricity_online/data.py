"""Half hours in order, each with what was known at its end, labelled with the next one."""

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
    # 944 whole days without gaps, so rows are half hours and weekdays can be counted.
    checks=pa.Check(lambda frame: (frame["period"] * 47).round() == np.arange(len(frame)) % DAY),
)
# 7 May 1996.
FIRST_WEEKDAY = 1


def splits(dataset: Dataset, *, test_share: float) -> dict[str, Iterable[tuple[Market, bool]]]:
    """Return markets by split, labelled with whether the next half hour's price is up.

    The test split is the end of the stream.
    """
    frame = stream_rows(SCHEMA.validate(pd.read_csv(dataset.path("elec2.csv.gz"))))
    border = int(len(frame) * (1 - test_share))
    return {"train": markets(frame.iloc[:border]), "test": markets(frame.iloc[border:])}


def stream_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows with what is known when a half hour ends; `label` is known half an hour later.

    A published row contains the price from which its own label is computed, so a prediction may use
    only the row before. The first day is left out, since it has no day before, and so is the last
    half hour, which has no next one.
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
            "label": table["class"].shift(-1) == 1,
        }
    )
    return frame.iloc[DAY:-1]


def markets(frame: pd.DataFrame) -> Iterator[tuple[Market, bool]]:
    """Yield the rows of `stream_rows` as labelled records."""
    labels = frame["label"].tolist()
    rows = frame.drop(columns="label").to_dict("records")
    return ((Market.model_validate(row), label) for row, label in zip(rows, labels, strict=True))
