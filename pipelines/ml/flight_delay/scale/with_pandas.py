"""The history by pandas, which reads all flights into memory."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from slipway.features.tables.flight_routes import DAYS, FIRST, FLIGHTS, KEYS, LATE, LATE_FROM

from . import one_machine
from .task import BEGIN, END, EVERY, PREPARED, Learned, Report


def known(days: pd.DataFrame, group: str) -> pd.DataFrame:
    """Return shares and counts of the days before each day, by the group's keys and day."""
    # A group without keys gets one that is the same everywhere.
    keys = KEYS[group] or [group]
    keyed = days if KEYS[group] else days.assign(**{group: 0})
    sums = keyed.groupby([*keys, "day"], observed=True)[["flights", "late"]].sum()
    by_day = {
        name: sums[name]
        .unstack("day", fill_value=0)
        .reindex(columns=range(END), fill_value=0)
        .cumsum(axis=1)
        for name in ("flights", "late")
    }
    made = {}
    for span, width in DAYS.items():
        flown, late = (
            total.shift(1, axis=1, fill_value=0) - total.shift(width + 1, axis=1, fill_value=0)
            for total in (by_day["flights"], by_day["late"])
        )
        made[f"{group}_{span}"] = ((late + LATE) / (flown + FLIGHTS)).stack()
        if KEYS[group]:
            made[f"{group}_flights"] = (flown / width).stack()
    return pd.DataFrame(made).reset_index()


def run(flights: Path, prepared: Path, report: Report) -> Learned:
    """Prepare and learn by pandas and scikit-learn."""
    report("reading")
    names = KEYS["route"]
    read = pq.read_table(flights, read_dictionary=names)
    every = read.to_pandas(split_blocks=True, self_destruct=True)
    del read
    report("counting")
    every["day"] = (every.pop("date").dt.normalize() - FIRST).dt.days.astype("int32")
    every["late"] = every.pop("delay") > LATE_FROM
    counted = every.groupby([*names, "day"], observed=True)["late"].agg(["size", "sum"])
    days = counted.set_axis(["flights", "late"], axis=1).reset_index()
    report("joining")
    sampled = every[(every["number"] % EVERY == 0) & (every["day"] >= BEGIN)]
    del every
    sampled = sampled.assign(weekday=sampled["day"] % 7)
    for group, keys in KEYS.items():
        table = known(days, group)
        if not keys:
            table = table.drop(columns=group)
        sampled = sampled.merge(table, on=[*keys, "day"], how="left")
    sampled[list(PREPARED)].to_parquet(prepared / "pandas.parquet", index=False)
    del sampled
    report("learning")
    return one_machine.learn(prepared)
