"""Split histories of sixty trading days by time, labelled by whether the next close was higher."""

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
        # Adjusted for splits and dividends: the plain price of AAPL halved in one day of 2005.
        "Adj Close": pa.Column(float, pa.Check.gt(0)),
    },
    unique=["Ticker", "Date"],
)


def splits(
    dataset: Dataset, *, test_from: str, test_to: str
) -> dict[str, Iterable[tuple[History, bool]]]:
    """Return histories by their last day, each with whether the next close was higher.

    Training rows have their next day before `test_from`; test rows have their last day on it or
    later, and before `test_to`.
    """
    rows = labelled_histories(dataset.path("stocks.csv.gz"))
    first, last = pd.Timestamp(test_from), pd.Timestamp(test_to)
    return {
        "train": [(record, up) for _, after, record, up in rows if after < first],
        "test": [(record, up) for day, _, record, up in rows if first <= day < last],
    }


def labelled_histories(file: Path) -> list[tuple[pd.Timestamp, pd.Timestamp, History, bool]]:
    """Return each history's last day, the next day, the history, and whether that closed higher."""
    table = SCHEMA.validate(pd.read_csv(file, parse_dates=["Date"]))
    found = []
    for _, share in table.sort_values("Date").groupby("Ticker"):
        days, volumes = share["Date"].tolist(), share["Volume"].to_numpy(float)
        closes = share["Adj Close"].to_numpy(float)
        for end in range(DAYS, len(days)):
            past = slice(end - DAYS, end)
            # Six digits keep documented requests short, and change no price by a cent.
            rounded_closes = [float(f"{value:.6g}") for value in closes[past]]
            record = History(closes=rounded_closes, volumes=volumes[past].tolist())
            found.append((days[end - 1], days[end], record, bool(closes[end] > closes[end - 1])))
    return sorted(found, key=lambda row: row[0])


def synthetic_walk(days: int, seed: int) -> np.ndarray:
    """Return the closes (days,) of a random walk."""
    return np.asarray(50 * np.exp(np.random.default_rng(seed).normal(0, 0.02, days).cumsum()))
