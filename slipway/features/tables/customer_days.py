"""Online Retail II, a row a customer and day of activity: all that was known when the day ended.

The invoice lines do not come in the order of time and are partly there twice (34,335 of them, most
from nine days that both source sheets hold), so no single pass over them would do. They are dealt
to files by customer, a chunk at a time; each file then holds whole customers and fits in memory:
what is needed is bounded by the chunk and by the largest file, not by the events.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from slipway.datasets import Dataset
from slipway.features.tables import TIME

DATASET = "online_retail_ii"
KEY = "customer_id"
FILE = "online_retail.csv.xz"
CHUNK_LINES = 100_000
# At 1 million lines a file holds 67,000; take more files for more events.
FILES = 16
WINDOW = pd.Timedelta(days=90)
HOME_COUNTRY = "United Kingdom"

MOMENT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        (KEY, pa.int64()),
        (TIME, MOMENT),
        ("first_purchase", MOMENT),
        ("last_purchase", MOMENT),
        ("orders", pa.int64()),
        ("orders_90d", pa.int64()),
        ("spent", pa.float64()),
        ("spent_90d", pa.float64()),
        ("abroad", pa.bool_()),
        ("returns", pa.int64()),
        ("returned", pa.float64()),
        ("items", pa.int64()),
        ("lines", pa.int64()),
        ("products", pa.int64()),
    ]
)


def rows(dataset: Dataset) -> Iterator[pa.Table]:
    """The table in batches, each of whole customers."""
    with TemporaryDirectory() as scratch:
        for file in dealt(events(dataset.path(FILE)), Path(scratch)):
            frame = days(pq.read_table(file).to_pandas())
            yield pa.Table.from_pandas(frame, SCHEMA, preserve_index=False)


def events(file: Path, chunk_lines: int = CHUNK_LINES) -> Iterator[pd.DataFrame]:
    """Yield the purchases and returns of known customers, chunk by chunk.

    Lines without a customer (23 %) are left out, and so are postage, fees and corrections, whose
    codes do not begin with five digits. Times are local times of the shop, read as UTC.
    """
    with pd.read_csv(
        file,
        chunksize=chunk_lines,
        dtype={"Invoice": "string", "StockCode": "string", "Customer ID": "float64"},
        usecols=["Invoice", "StockCode", "Quantity", "InvoiceDate", "Price", *_WHO],
    ) as reader:
        for chunk in reader:
            product = chunk["StockCode"].str.match(r"\d{5}").fillna(False)
            kept = chunk[product & chunk["Customer ID"].notna()]
            time = pd.to_datetime(kept["InvoiceDate"], format="%m/%d/%Y %H:%M", utc=True)
            yield pd.DataFrame(
                {
                    KEY: kept["Customer ID"].astype("int64"),
                    "time": time,
                    "invoice": kept["Invoice"],
                    "product": kept["StockCode"],
                    "quantity": kept["Quantity"].astype("int64"),
                    "price": kept["Price"].astype("float64"),
                    "abroad": kept["Country"] != HOME_COUNTRY,
                }
            )


_WHO = ("Customer ID", "Country")


def dealt(chunks: Iterator[pd.DataFrame], folder: Path, files: int = FILES) -> Iterator[Path]:
    """Write each customer's events into one of `files` files; their paths when all is written."""
    writers: dict[int, pq.ParquetWriter] = {}
    try:
        for chunk in chunks:
            for place, part in chunk.groupby(chunk[KEY] % files):
                table = pa.Table.from_pandas(part, preserve_index=False)
                if place not in writers:
                    file = folder / f"{place:04}.parquet"
                    writers[place] = pq.ParquetWriter(file, table.schema)
                writers[place].write_table(table)
    finally:
        for writer in writers.values():
            writer.close()
    yield from sorted(folder.glob("*.parquet"))


def days(lines: pd.DataFrame) -> pd.DataFrame:
    """All rows of the customers whose lines these are, from each one's first purchase on.

    A row is stamped with the midnight that ends its day and counts events before it. Credit notes
    before the first purchase are for what was bought before the data begin, and are left out.
    """
    lines = lines.drop_duplicates().sort_values([KEY, "time"], kind="stable")
    lines["day"] = lines["time"].dt.floor("D")
    lines["worth"] = lines["quantity"] * lines["price"]
    credit = lines["invoice"].str.startswith("C")
    bought = lines[~credit & (lines["quantity"] > 0) & (lines["price"] > 0)].copy()
    bought["new"] = ~bought.duplicated([KEY, "product"])
    sent_back = lines[credit & (lines["quantity"] < 0)]
    by_day = [KEY, "day"]
    table = pd.concat(
        [
            bought.groupby(by_day).agg(
                first_purchase=("time", "min"),
                last_purchase=("time", "max"),
                orders=("invoice", "nunique"),
                spent=("worth", "sum"),
                abroad=("abroad", "last"),
                items=("quantity", "sum"),
                lines=("worth", "size"),
                products=("new", "sum"),
            ),
            sent_back.groupby(by_day).agg(
                returns=("invoice", "nunique"), returned=("worth", lambda worth: -worth.sum())
            ),
        ],
        axis=1,
    ).sort_index()
    customer = table.groupby(level=KEY)
    table["last_purchase"] = customer["last_purchase"].ffill()
    table = table[table["last_purchase"].notna()]
    customer = table.groupby(level=KEY)
    table["first_purchase"] = customer["first_purchase"].transform("first")
    table["abroad"] = customer["abroad"].ffill().astype(bool)
    counts = ["orders", "spent", "items", "lines", "products", "returns", "returned"]
    table[counts] = table[counts].fillna(0)
    recent = table.reset_index(level=KEY).groupby(KEY)[["orders", "spent"]].rolling(WINDOW).sum()
    table["orders_90d"] = np.rint(recent["orders"].to_numpy())
    table["spent_90d"] = recent["spent"].to_numpy().clip(min=0)
    table[counts] = table.groupby(level=KEY)[counts].cumsum()
    table = table.reset_index()
    table[TIME] = table.pop("day") + pd.Timedelta(days=1)
    whole = ["orders", "orders_90d", "items", "lines", "products", "returns"]
    columns: list[str] = SCHEMA.names
    return table.astype(dict.fromkeys(whole, "int64"))[columns]
