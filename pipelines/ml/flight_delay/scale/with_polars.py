"""The history by Polars' streaming engine, which keeps the counts in memory but not the flights."""

from pathlib import Path

import polars as pl

from slipway.features.tables.flight_routes import DAYS, FIRST, FLIGHTS, KEYS, LATE, LATE_FROM

from . import one_machine
from .task import BEGIN, EVERY, PREPARED, Learned, Report


def known(days: pl.DataFrame, group: str) -> pl.DataFrame:
    """Return shares and counts of the days before each day, by the group's keys and day."""
    keys = KEYS[group]
    by = [*keys, "day"]
    made = sums = days.group_by(by).agg(pl.col("flights", "late").sum()).sort(by)
    for span, width in DAYS.items():
        flown, late = pl.col("flights").sum(), pl.col("late").sum()
        shares = {f"{group}_{span}": (late + LATE) / (flown + FLIGHTS)}
        # The counts of the longest span, the last, are kept.
        if keys and span == list(DAYS)[-1]:
            shares[f"{group}_flights"] = flown / width
        # From `width` days before up to the day before.
        past = sums.rolling("day", period=f"{width}i", closed="left", group_by=keys or None)
        made = made.join(past.agg(**shares), on=by)
    return made.drop("flights", "late")


def run(flights: Path, prepared: Path, report: Report) -> Learned:
    """Prepare by Polars, and learn by scikit-learn."""
    report("counting")
    day = (pl.col("date").dt.date() - FIRST.date()).dt.total_days()
    every = pl.scan_parquet(flights / "*.parquet").select(
        "number",
        "origin",
        "destination",
        "distance",
        day=day,
        weekday=day % 7,
        late=pl.col("delay") > LATE_FROM,
    )
    counts = {"flights": pl.len().cast(pl.Int64), "late": pl.col("late").sum().cast(pl.Int64)}
    days = every.group_by(*KEYS["route"], "day").agg(**counts).collect(engine="streaming")
    report("joining", cells=len(days))
    sampled = every.filter((pl.col("number") % EVERY == 0) & (pl.col("day") >= BEGIN))
    for group, keys in KEYS.items():
        sampled = sampled.join(known(days, group).lazy(), on=[*keys, "day"])
    sampled.select(PREPARED).sink_parquet(prepared / "polars.parquet", engine="streaming")
    del days, sampled
    report("learning")
    return one_machine.learn(prepared)
