"""Split customers at moments 90 days apart, labelled by whether an order followed.

The last moment is the test set. Features come from the feature store by a point-in-time join, with
the same definitions that serve online. The periods in which orders count do not overlap, so no
outcome is in both splits.
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

from .model import Shopper

SERVICE, TABLE, KEY = "repurchase", "customer_days", "customer_id"
SCHEMA = pa.DataFrameSchema(
    {
        KEY: pa.Column(int, pa.Check.gt(0)),
        TIME: pa.Column("datetime64[us, UTC]"),
        "last_purchase": pa.Column("datetime64[us, UTC]"),
    },
    checks=[
        pa.Check(lambda frame: ~frame.duplicated([KEY, TIME])),
        pa.Check(lambda frame: frame["last_purchase"] < frame[TIME]),
    ],
)


def splits(
    dataset: Dataset, *, test_at: str, moments: int, horizon_days: int, one_in: int
) -> dict[str, Iterable[tuple[Shopper, bool]]]:
    """Return customers, each with whether they bought within `horizon_days`.

    Rows are sorted by moment and then by customer number. `test_at` is the moment of the test rows;
    the training rows are at `moments` earlier ones, `horizon_days` apart. Every `one_in`th customer
    is kept.
    """
    table = pq.read_table(offline.build(TABLE, dataset=dataset), columns=list(SCHEMA.columns))
    days = SCHEMA.validate(table.to_pandas())
    days = days[days[KEY] % one_in == 0]
    horizon = pd.Timedelta(days=horizon_days)
    last = pd.Timestamp(test_at, tz="UTC")
    sampled_at = [last - horizon * back for back in range(moments, -1, -1)]
    if days[TIME].max() < last + horizon:
        raise ValueError(f"the events end at {days[TIME].max()}, before {last + horizon}")
    entities = pd.concat(
        [customers_at(days, moment, horizon) for moment in sampled_at], ignore_index=True
    )
    joined = training_set(SERVICE, entities)
    is_test = joined[TIME] == last
    return {"train": shoppers(joined[~is_test]), "test": shoppers(joined[is_test])}


def customers_at(days: pd.DataFrame, moment: pd.Timestamp, horizon: pd.Timedelta) -> pd.DataFrame:
    """Return who had bought before `moment`, and whether they bought within `horizon` of it."""
    before = days.loc[days[TIME] <= moment, KEY].drop_duplicates().sort_values()
    bought = days["last_purchase"].between(moment, moment + horizon, inclusive="left")
    again = days.loc[bought, KEY].unique()
    return pd.DataFrame({KEY: before, TIME: moment, "bought": before.isin(again)})


def shoppers(joined: pd.DataFrame) -> list[tuple[Shopper, bool]]:
    fields = list(Shopper.model_fields)
    return [
        (Shopper(**{name: row[name] for name in fields}), bool(row["bought"]))
        for row in to_dicts(joined)
    ]
