"""Split hourly power into windows: a week of history, labelled with the next 24 hours."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import AHEAD, BACK, HOUR, History

POWER = "Global_active_power"
# An hour with fewer measured minutes is unknown; 1.25 % of the minutes are missing.
LEAST_MINUTES = 30
SCHEMA = pa.DataFrameSchema(
    {
        "minute": pa.Column("datetime64[ns]", unique=True),
        POWER: pa.Column(float, pa.Check.in_range(0, 20), nullable=True),
    }
)


def splits(
    dataset: Dataset, *, test_from: str, train_every: int, test_every: int, weeks: int
) -> dict[str, Iterable[tuple[History, list[float]]]]:
    """Return windows in order of time, each with the power of the `AHEAD` hours after it.

    All forecast hours of training rows end before `test_from`, where those of the test rows begin.
    Windows start `train_every` or `test_every` hours apart; those with an unknown hour are left
    out. Training covers the last `weeks` weeks.
    """
    hours = hourly(dataset.path("minute_household_power.csv.xz"))
    border = pd.Timestamp(test_from)
    begin = border - pd.Timedelta(weeks=weeks)
    before = hours[(hours.index >= begin) & (hours.index < border)]
    after = hours[hours.index >= border - pd.Timedelta(hours=BACK)]
    return {"train": windows(before, train_every), "test": windows(after, test_every)}


def hourly(file: Path) -> pd.Series:
    """Return the mean kilowatts of every hour, NaN where unknown."""
    raw = pd.read_csv(file, usecols=["Date", "Time", POWER], na_values="?", low_memory=False)
    # Parsed separately: two million minutes have 1,442 dates, and pandas parses each of them once.
    minute = pd.to_datetime(raw["Date"], format="%d/%m/%Y") + pd.to_timedelta(raw["Time"])
    checked = SCHEMA.validate(pd.DataFrame({"minute": minute, POWER: raw[POWER]}))
    hours = checked.set_index("minute")[POWER].resample("h")
    return hours.mean().where(hours.count() >= LEAST_MINUTES)


def windows(hours: pd.Series, every: int) -> Iterator[tuple[History, list[float]]]:
    """Yield the complete windows of the series, `every` hours apart."""
    values = hours.to_numpy().round(3)
    for place in range(BACK, len(values) - AHEAD + 1, every):
        past, future = values[place - BACK : place], values[place : place + AHEAD]
        if np.isfinite(past).all() and np.isfinite(future).all():
            first = hours.index[place].strftime(HOUR)
            yield History(first_hour=first, kilowatts=past.tolist()), future.tolist()
