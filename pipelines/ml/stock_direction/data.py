"""Sixty trading days of a share, with whether it closed higher on the next; later years test."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import DAYS, History

SCHEMA = pa.DataFrameSchema(
    {
        "Ticker": pa.Column(str),
        "Date": pa.Column("datetime64[ns]"),
        "Volume": pa.Column(int, pa.Check.gt(0)),
        # Splits and dividends are taken out: the plain price of AAPL halved in a day of 2005.
        "Adj Close": pa.Column(float, pa.Check.gt(0)),
    },
    unique=["Ticker", "Date"],
)


def splits(
    dataset: Dataset, *, test_from: str, test_to: str
) -> dict[str, Iterable[tuple[History, bool]]]:
    """Histories with whether the next close was higher, in order of the day they end on.

    The next day of every training row is before `test_from`, the last day of every test row is not.
    """
    rows = dated(dataset.path("stocks.csv.gz"))
    first, last = pd.Timestamp(test_from), pd.Timestamp(test_to)
    return {
        "train": [(record, up) for _, after, record, up in rows if after < first],
        "test": [(record, up) for day, _, record, up in rows if first <= day < last],
    }


def dated(file: Path) -> list[tuple[pd.Timestamp, pd.Timestamp, History, bool]]:
    """The last day of each history, the day after, the history and whether it closed higher."""
    table = SCHEMA.validate(pd.read_csv(file, parse_dates=["Date"]))
    found = []
    for _, share in table.sort_values("Date").groupby("Ticker"):
        days, volumes = share["Date"].tolist(), share["Volume"].to_numpy(float)
        closes = share["Adj Close"].to_numpy(float)
        for end in range(DAYS, len(days)):
            past = slice(end - DAYS, end)
            # Rounding to six digits keeps a documented call short, and moves no price by a cent.
            told = [float(f"{value:.6g}") for value in closes[past]]
            record = History(closes=told, volumes=volumes[past].tolist())
            found.append((days[end - 1], days[end], record, bool(closes[end] > closes[end - 1])))
    return sorted(found, key=lambda row: row[0])


def synthetic_walk(days: int, seed: int) -> np.ndarray:
    """Closes (days,) of a share whose next day nothing foretells."""
    return np.asarray(50 * np.exp(np.random.default_rng(seed).normal(0, 0.02, days).cumsum()))
