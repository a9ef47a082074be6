"""Customers as they stood at two moments, with what each spent in the 90 days after.

Recency, frequency and money are those of the year before the moment, so that a moment late in the
two years of data describes a customer on the same scale as an early one.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.training.frames import rows

from .model import YEAR_DAYS, Customer

WHO, TIME = "Customer ID", "InvoiceDate"
COLUMNS = ["Invoice", "StockCode", "Quantity", TIME, "Price", WHO]
SCHEMA = pa.DataFrameSchema(
    {
        "Invoice": pa.Column(str),
        "Quantity": pa.Column(int, pa.Check.ne(0)),
        TIME: pa.Column("datetime64[ns]"),
        # 60 lines are given away at 0 pounds.
        "Price": pa.Column(float, pa.Check.ge(0)),
        WHO: pa.Column(int, pa.Check.gt(0)),
    },
    checks=[pa.Check(lambda lines: ~lines.duplicated())],
)


def splits(
    dataset: Dataset, *, train_at: str, test_at: str, horizon_days: int
) -> dict[str, Iterable[tuple[Customer, float]]]:
    """Customers at two moments, with the pounds they spent within `horizon_days` after it.

    Raises:
        ValueError: the two periods of later spending overlap, or a moment has no whole year
            before it, or no whole horizon after it.
    """
    lines = purchases(dataset.path("online_retail.csv.xz"))
    horizon, year = pd.Timedelta(days=horizon_days), pd.Timedelta(days=YEAR_DAYS)
    early, late = pd.Timestamp(train_at), pd.Timestamp(test_at)
    if early + horizon > late:
        raise ValueError(f"train_at {early} and {horizon_days} days reach beyond test_at {late}")
    begin, end = lines[TIME].min().normalize(), lines[TIME].max()
    if begin > early - year or end < late + horizon:
        raise ValueError(f"lines from {begin} to {end}; needed: {early - year} to {late + horizon}")
    return {"train": known_at(lines, early, horizon), "test": known_at(lines, late, horizon)}


def purchases(file: Path) -> pd.DataFrame:
    """Lines that say who bought or sent back which product, at what worth in pounds.

    Left out: lines without a customer (23 %); postage, fees and corrections, whose codes do not
    begin with five digits; and of the rest 26,405 copies of a line, most from nine days of
    December 2010 that both source sheets hold.
    """
    raw = pd.read_csv(file, usecols=COLUMNS, dtype={"Invoice": str, "StockCode": str})
    product = raw["StockCode"].str.match(r"\d{5}")
    lines = raw[product & raw[WHO].notna()].drop_duplicates().astype({WHO: "int64"})
    lines[TIME] = pd.to_datetime(lines[TIME], format="%m/%d/%Y %H:%M")
    lines = SCHEMA.validate(lines)
    return lines.assign(worth=lines["Quantity"] * lines["Price"])


def known_at(
    lines: pd.DataFrame, moment: pd.Timestamp, horizon: pd.Timedelta
) -> list[tuple[Customer, float]]:
    """Who bought in the year before `moment`, and the pounds they spent within `horizon` from then.

    Only the truth reads lines from `moment` on. It counts no returns: what is sent back then may
    have been bought before.
    """
    year = lines[(lines[TIME] < moment) & (lines[TIME] >= moment - pd.Timedelta(days=YEAR_DAYS))]
    bought = year[(year["Quantity"] > 0) & (year["Price"] > 0)].groupby(WHO)
    later = lines[(lines[TIME] >= moment) & (lines[TIME] < moment + horizon)]
    sold = later[later["Quantity"] > 0].groupby(WHO)["worth"].sum()
    table = pd.DataFrame(
        {
            "recency_days": (moment - bought[TIME].max()).dt.total_seconds() / 86_400,
            "orders": bought["Invoice"].nunique(),
            # Credit notes of the year count against what was bought, by at most all of it.
            "spent": year.groupby(WHO)["worth"].sum().clip(lower=0),
        }
    ).dropna()
    truth = sold.reindex(table.index, fill_value=0.0)
    return [(Customer(**row), float(spent)) for row, spent in zip(rows(table), truth, strict=True)]
