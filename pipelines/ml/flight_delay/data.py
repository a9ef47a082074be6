"""Flights with what was known on the morning of their day; the last month of them tests."""

from collections.abc import Iterable
from datetime import date

import pandas as pd
import pandera.pandas as pa
from pyspark.sql import functions as F

from slipway.datasets import Dataset

from .history import FIRST, flights, prepared
from .model import COUNTS, SHARES, Flight
from .spark import session

FILE = "flights-3m.parquet"
SCHEMA = pa.DataFrameSchema(
    {
        "day": pa.Column(int, pa.Check.in_range(0, 181)),
        "late": pa.Column(bool),
        "distance": pa.Column(int, pa.Check.in_range(1, 10_000)),
        **{name: pa.Column(float, pa.Check.in_range(0, 1)) for name in SHARES},
        **{name: pa.Column(float, pa.Check.ge(0)) for name in COUNTS},
    },
    coerce=True,
)
PARTS = 1_000_000


def splits(
    dataset: Dataset, *, seed: int, begin: str, test_from: str, end: str, share: float
) -> dict[str, Iterable[tuple[Flight, bool]]]:
    """Flights with whether they were over 15 minutes late, a `share` of them, day by day.

    Before `begin` there is no whole month to look back on. Which flights are drawn hangs on their
    hash: so neither on how many machines counted, nor on the order in which they did.
    """
    first, border, last = (
        (date.fromisoformat(day) - date.fromisoformat(FIRST)).days
        for day in (begin, test_from, end)
    )
    with session() as spark:
        found = flights(spark, dataset.path(FILE)).filter(F.col("day") < last)
        drawn = F.pmod(F.xxhash64("name", F.lit(seed)), F.lit(PARTS)) < int(share * PARTS)
        told = prepared(found.filter((F.col("day") >= first) & drawn), found).toPandas()
    frame = SCHEMA.validate(told.sort_values(["day", "name"]))
    return {
        "train": rows(frame[frame["day"] < border]),
        "test": rows(frame[frame["day"] >= border]),
    }


def rows(frame: pd.DataFrame) -> Iterable[tuple[Flight, bool]]:
    truths = frame["late"].tolist()
    told = frame[list(Flight.model_fields)].to_dict("records")
    return ((Flight.model_validate(row), truth) for row, truth in zip(told, truths, strict=True))
