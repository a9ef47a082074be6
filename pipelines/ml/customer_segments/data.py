"""Customers at two moments, labelled with what each spent in the 90 days after.

Recency, frequency and money are those of the year before the moment, so that they have the same
scale at an early and at a late moment.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import YEAR_DAYS, Customer

CUSTOMER, TIME = "Customer ID", "InvoiceDate"
COLUMNS = ["Invoice", "StockCode", "Quantity", TIME, "Price", CUSTOMER]
SCHEMA = pa.DataFrameSchema(
    {
        "Invoice": pa.Column(str),
        "Quantity": pa.Column(int, pa.Check.ne(0)),
        TIME: pa.Column("datetime64[ns]"),
        # 60 lines have a price of 0 pounds.
        "Price": pa.Column(float, pa.Check.ge(0)),
        CUSTOMER: pa.Column(int, pa.Check.gt(0)),
    },
    checks=[pa.Check(lambda lines: ~lines.duplicated())],
)


def splits(
    dataset: Dataset, *, train_at: str, test_at: str, horizon_days: int
) -> dict[str, Iterable[tuple[Customer, float]]]:
    """Return customers at two moments, labelled with the pounds spent in the `horizon_days` after.

    Raises:
        ValueError: the two periods of later spending overlap, or the data do not cover a whole year
            before a moment and the whole horizon after it.
    """
    lines = purchases(dataset.path("online_retail.csv.xz"))
    horizon, year = pd.Timedelta(days=horizon_days), pd.Timedelta(days=YEAR_DAYS)
    early, late = pd.Timestamp(train_at), pd.Timestamp(test_at)
    if early + horizon > late:
        raise ValueError(f"train_at {early} plus {horizon_days} days is beyond test_at {late}")
    begin, end = lines[TIME].min().normalize(), lines[TIME].max()
    if begin > early - year or end < late + horizon:
        raise ValueError(
            f"the lines cover {begin} to {end}; needed: {early - year} to {late + horizon}"
        )
    return {"train": known_at(lines, early, horizon), "test": known_at(lines, late, horizon)}


def purchases(file: Path) -> pd.DataFrame:
    """Return the lines of products that a customer bought or returned, with their worth in pounds.

    Three kinds of lines are left out: those without a customer (23 %); postage, fees and
    corrections, whose codes do not begin with five digits; and 26,405 copies of other lines, most
    from nine days of December 2010 that are in both source sheets.
    """
    raw = pd.read_csv(file, usecols=COLUMNS, dtype={"Invoice": str, "StockCode": str})
    product = raw["StockCode"].str.match(r"\d{5}")
    lines = raw[product & raw[CUSTOMER].notna()].drop_duplicates().astype({CUSTOMER: "int64"})
    lines[TIME] = pd.to_datetime(lines[TIME], format="%m/%d/%Y %H:%M")
    lines = SCHEMA.validate(lines)
    return lines.assign(worth=lines["Quantity"] * lines["Price"])


def known_at(
    lines: pd.DataFrame, moment: pd.Timestamp, horizon: pd.Timedelta
) -> list[tuple[Customer, float]]:
    """Return the customers of the year before `moment`, labelled with their spending after it.

    Only the label uses lines from `moment` on. It does not count returns, since the goods may have
    been bought before.
    """
    year = lines[(lines[TIME] < moment) & (lines[TIME] >= moment - pd.Timedelta(days=YEAR_DAYS))]
    bought = year[(year["Quantity"] > 0) & (year["Price"] > 0)].groupby(CUSTOMER)
    later = lines[(lines[TIME] >= moment) & (lines[TIME] < moment + horizon)]
    sold = later[later["Quantity"] > 0].groupby(CUSTOMER)["worth"].sum()
    table = pd.DataFrame(
        {
            "recency_days": (moment - bought[TIME].max()).dt.total_seconds() / 86_400,
            "orders": bought["Invoice"].nunique(),
            # Returns reduce the spending of the year, to 0 at most.
            "spent": year.groupby(CUSTOMER)["worth"].sum().clip(lower=0),
        }
    ).dropna()
    labels = sold.reindex(table.index, fill_value=0.0)
    return [
        (Customer(**row), float(spent)) for row, spent in zip(to_dicts(table), labels, strict=True)
    ]
