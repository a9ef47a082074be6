"""A week of hourly power with the 24 hours that followed, one such window every few hours."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import AHEAD, BACK, HOUR, History

POWER = "Global_active_power"
# An hour of which less was measured is unknown; 1.25 % of the minutes are missing.
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
    """Windows with what was used in the `AHEAD` hours after them, in order of time.

    Every hour that is forecast for training is over before `test_from`, with which the test's
    begin. A window begins `train_every` or `test_every` hours after the one before; windows with an
    unknown hour are left out. Training reaches back `weeks`.
    """
    hours = hourly(dataset.path("minute_household_power.csv.xz"))
    border = pd.Timestamp(test_from)
    begin = border - pd.Timedelta(weeks=weeks)
    before = hours[(hours.index >= begin) & (hours.index < border)]
    after = hours[hours.index >= border - pd.Timedelta(hours=BACK)]
    return {"train": windows(before, train_every), "test": windows(after, test_every)}


def hourly(file: Path) -> pd.Series:
    """Mean kilowatts of every hour, not-a-number where unknown."""
    raw = pd.read_csv(file, usecols=["Date", "Time", POWER], na_values="?", low_memory=False)
    # Apart: the two million minutes are of 1,442 days, and pandas reads each of these once.
    minute = pd.to_datetime(raw["Date"], format="%d/%m/%Y") + pd.to_timedelta(raw["Time"])
    checked = SCHEMA.validate(pd.DataFrame({"minute": minute, POWER: raw[POWER]}))
    hours = checked.set_index("minute")[POWER].resample("h")
    return hours.mean().where(hours.count() >= LEAST_MINUTES)


def windows(hours: pd.Series, every: int) -> Iterator[tuple[History, list[float]]]:
    """All whole windows of the series, `every` so many hours."""
    values = hours.to_numpy().round(3)
    for place in range(BACK, len(values) - AHEAD + 1, every):
        past, future = values[place - BACK : place], values[place : place + AHEAD]
        if np.isfinite(past).all() and np.isfinite(future).all():
            first = hours.index[place].strftime(HOUR)
            yield History(first_hour=first, kilowatts=past.tolist()), future.tolist()
