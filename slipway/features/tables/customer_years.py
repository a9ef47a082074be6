"""Online Retail II: what each customer ordered and spent in the 365 days before each moment.

The days end at the row's timestamp. A customer has a row after each active day, and another one 365
days later, when that day is no longer among them. No row is later than the last activity of all
customers, where the data end.
"""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slipway.datasets import Dataset
from slipway.features import offline
from slipway.features.tables import TIME

DATASET = "online_retail_ii"
KEY = "customer_id"
DAYS = "customer_days"
# A table is built again if its module changes. This one is built from the table `customer_days`, so
# the SHA-256 of that module is part of it; a test compares them.
DAYS_CODE = "2b1dc9c9dbeb16a75505d1561b97a86f3b90287cd31bee5f80a2a471b072346f"
YEAR = pd.Timedelta(days=365)

SCHEMA = pa.schema(
    [
        (KEY, pa.int64()),
        (TIME, pa.timestamp("us", tz="UTC")),
        ("orders_365d", pa.int64()),
        ("net_spent_365d", pa.float64()),
    ]
)


def rows(dataset: Dataset) -> Iterator[pa.Table]:
    """Yield the table in batches, each of whole customers."""
    columns = [KEY, TIME, "orders", "spent", "returned"]
    with pq.ParquetFile(offline.build(DAYS, dataset=dataset)) as file:
        groups = range(file.num_row_groups)
        end = max(pc.max(file.read_row_group(each, [TIME])[TIME]).as_py() for each in groups)
        for group in groups:
            frame = years(file.read_row_group(group, columns).to_pandas(), end)
            yield pa.Table.from_pandas(frame, SCHEMA, preserve_index=False)


def years(days: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """Return the rows up to `end` of the customers in `days`, rows of the table `customer_days`."""
    sums = ["orders_365d", "net_spent_365d"]
    totals = pd.concat([days["orders"], days["spent"] - days["returned"]], axis=1, keys=sums)
    gained = days[[KEY, TIME]].join(totals - totals.groupby(days[KEY]).shift(fill_value=0))
    lost = gained.assign(**{TIME: gained[TIME] + YEAR})
    lost[sums] *= -1
    changes = pd.concat([gained, lost[lost[TIME] <= end]]).groupby([KEY, TIME])[sums].sum()
    table: pd.DataFrame = changes.groupby(level=KEY)[sums].cumsum().reset_index()
    # Sums of pounds that cancel out leave errors of 1e-12.
    pounds = table["net_spent_365d"].round(6)
    table["net_spent_365d"] = pounds.where(pounds > 0, 0.0)
    return table
