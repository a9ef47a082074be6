"""Customers at two moments, labelled with what each spent in the 90 days after.

The features come from the feature store by a point-in-time join, with the same definitions that
serve online. Frequency and money are those of the year before the moment, so that they have the
same scale at an early and at a late moment.
"""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
import pyarrow.parquet as pq

from slipway.datasets import Dataset
from slipway.features import offline
from slipway.features.history import training_set
from slipway.features.tables import TIME
from slipway.training.frames import to_dicts

from .model import YEAR_DAYS, Customer

SERVICE, KEY = "customer_segments", "customer_id"
DAYS, YEARS = "customer_days", "customer_years"
SCHEMA = pa.DataFrameSchema(
    {
        KEY: pa.Column(int, pa.Check.gt(0)),
        TIME: pa.Column("datetime64[us, UTC]"),
        "spent": pa.Column(float, pa.Check.gt(0)),
    },
    checks=[
        pa.Check(lambda days: ~days.duplicated([KEY, TIME])),
        # Each is the total of all orders so far, up to the rounding of sums.
        pa.Check(lambda days: ~(days.groupby(KEY)["spent"].diff() < -1e-6)),
    ],
)


def splits(
    dataset: Dataset, *, train_at: str, test_at: str, horizon_days: int
) -> dict[str, Iterable[tuple[Customer, float]]]:
    """Return customers at two moments, labelled with the pounds spent in the `horizon_days` after.

    Raises:
        ValueError: the two periods of later spending overlap, or the data do not cover a whole year
            before a moment and the whole horizon after it.
    """
    horizon, year = pd.Timedelta(days=horizon_days), pd.Timedelta(days=YEAR_DAYS)
    early, late = pd.Timestamp(train_at, tz="UTC"), pd.Timestamp(test_at, tz="UTC")
    if early + horizon > late:
        raise ValueError(f"train_at {early} plus {horizon_days} days is beyond test_at {late}")
    table = pq.read_table(offline.build(DAYS, dataset=dataset), columns=list(SCHEMA.columns))
    days = SCHEMA.validate(table.to_pandas())
    # A row is stamped with the end of its day.
    begin, end = days[TIME].min() - pd.Timedelta(days=1), days[TIME].max()
    if begin > early - year or end < late + horizon:
        raise ValueError(
            f"the events cover {begin} to {end}; needed: {early - year} to {late + horizon}"
        )
    offline.build(YEARS, dataset=dataset)
    return {"train": known_at(days, early, horizon), "test": known_at(days, late, horizon)}


def known_at(
    days: pd.DataFrame, moment: pd.Timestamp, horizon: pd.Timedelta
) -> list[tuple[Customer, float]]:
    """Return the customers of the year before `moment`, labelled with their spending after it.

    Only the label uses `days` after the moment. It does not count returns, since the goods may have
    been bought before.
    """
    before, after = spent_until(days, moment), spent_until(days, moment + horizon)
    entities = pd.DataFrame(
        {KEY: before.index, TIME: moment, "label": (after[before.index] - before).to_numpy()}
    )
    joined = training_set(SERVICE, entities)
    fields = list(Customer.model_fields)
    return [
        (Customer(**{name: row[name] for name in fields}), float(row["label"]))
        for row in to_dicts(joined[joined["orders_365d"] > 0])
    ]


def spent_until(days: pd.DataFrame, moment: pd.Timestamp) -> pd.Series:
    """Return the pounds of all orders before `moment`, by customer number in ascending order."""
    return days[days[TIME] <= moment].groupby(KEY)["spent"].last().round(6)
