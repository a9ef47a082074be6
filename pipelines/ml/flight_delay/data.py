"""Flights with what was known on the morning of their day; the last month is for the test."""

from collections.abc import Iterable
from datetime import date

import pandas as pd
import pandera.pandas as pa
from pyspark.sql import functions as F

from slipway.datasets import Dataset
from slipway.features.tables.flight_routes import FILE, FIRST

from .history import add_history, flights
from .model import COUNTS, SHARES, Flight
from .spark import session

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
# The reason why the training rows are not joined from the feature store, which serves look-ups.
NOT_FROM_STORE = "Spark prepares them, as the project's subject; a test compares both"


def splits(
    dataset: Dataset, *, seed: int, begin: str, test_from: str, end: str, share: float
) -> dict[str, Iterable[tuple[Flight, bool]]]:
    """Return a `share` of the flights by split and day, labelled with delays over 15 minutes.

    Flights before `begin` have no whole month of history. Flights are sampled by their hash, so the
    sample does not depend on the number of machines or on their order.
    """
    first, border, last = (
        (date.fromisoformat(day) - FIRST.date()).days for day in (begin, test_from, end)
    )
    with session() as spark:
        every = flights(spark, dataset.path(FILE)).filter(F.col("day") < last)
        sampled = F.pmod(F.xxhash64("name", F.lit(seed)), F.lit(PARTS)) < int(share * PARTS)
        kept = every.filter((F.col("day") >= first) & sampled)
        table = add_history(kept, every).toPandas()
    frame = SCHEMA.validate(table.sort_values(["day", "name"]))
    return {
        "train": rows(frame[frame["day"] < border]),
        "test": rows(frame[frame["day"] >= border]),
    }


def rows(frame: pd.DataFrame) -> Iterable[tuple[Flight, bool]]:
    """Return the rows of a table as labelled records."""
    labels = frame["late"].tolist()
    records = frame[list(Flight.model_fields)].to_dict("records")
    return ((Flight.model_validate(row), label) for row, label in zip(records, labels, strict=True))
