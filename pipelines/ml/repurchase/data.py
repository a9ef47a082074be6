"""Every customer at moments 90 days apart, with whether an order followed; the last moment tests.

What is known at a moment comes from the feature store, joined in time: the same definitions that
serve online. No two periods in which an order counts overlap, so no outcome is on both sides.
"""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
import pyarrow.parquet as pq

from slipway.datasets import Dataset
from slipway.features import offline
from slipway.features.history import training_set
from slipway.features.tables import TIME
from slipway.training.frames import rows

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
    """Customers with whether they bought within `horizon_days`, by moment and then by number.

    `test_at` is the moment of the test rows; the training rows are at `moments` before it, each
    `horizon_days` apart. `one_in` keeps one customer in so many.
    """
    table = pq.read_table(offline.build(TABLE, dataset=dataset), columns=list(SCHEMA.columns))
    days = SCHEMA.validate(table.to_pandas())
    days = days[days[KEY] % one_in == 0]
    horizon = pd.Timedelta(days=horizon_days)
    last = pd.Timestamp(test_at, tz="UTC")
    asked = [last - horizon * back for back in range(moments, -1, -1)]
    if days[TIME].max() < last + horizon:
        raise ValueError(f"the events end at {days[TIME].max()}, before {last + horizon}")
    entities = pd.concat([known_at(days, moment, horizon) for moment in asked], ignore_index=True)
    joined = training_set(SERVICE, entities)
    is_test = joined[TIME] == last
    return {"train": shoppers(joined[~is_test]), "test": shoppers(joined[is_test])}


def known_at(days: pd.DataFrame, moment: pd.Timestamp, horizon: pd.Timedelta) -> pd.DataFrame:
    """Who had bought before `moment`, and whether they bought within `horizon` from then."""
    before = days.loc[days[TIME] <= moment, KEY].drop_duplicates().sort_values()
    bought = days["last_purchase"].between(moment, moment + horizon, inclusive="left")
    again = days.loc[bought, KEY].unique()
    return pd.DataFrame({KEY: before, TIME: moment, "bought": before.isin(again)})


def shoppers(joined: pd.DataFrame) -> list[tuple[Shopper, bool]]:
    fields = list(Shopper.model_fields)
    return [
        (Shopper(**{name: row[name] for name in fields}), bool(row["bought"]))
        for row in rows(joined)
    ]
