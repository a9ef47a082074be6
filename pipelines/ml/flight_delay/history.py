"""What was known on the morning of a flight's day, by Spark and by a single machine."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from .model import FLIGHTS, LATE, SPANS

FIRST = "2001-01-01"  # a Monday
DAYS = dict(zip(SPANS, (1, 7, 28), strict=True))
KEYS = {
    "origin": ["origin"],
    "destination": ["destination"],
    "route": ["origin", "destination"],
    "network": [],
}
LATE_FROM = 15


def flights(spark: SparkSession, files: Path) -> DataFrame:
    """Each flight with its `day` since `FIRST`, `weekday` and whether it was `late`.

    Of `date`, when it really left, the time of day is dropped: a late flight leaves later, so the
    hour would tell the delay. Of the flights that leave between 2 and 4 at night 67 % are late.
    """
    raw = spark.read.parquet(str(files))
    day = F.datediff(F.to_date("date"), F.lit(FIRST))
    return raw.select(
        "origin",
        "destination",
        F.col("distance").cast("int").alias("distance"),
        day.alias("day"),
        (day % 7).alias("weekday"),
        (F.col("delay") > LATE_FROM).alias("late"),
        # A flight has no name in the file: what it is hashed to serves to draw and to order.
        F.xxhash64("date", "origin", "destination", "delay").alias("name"),
    )


def by_day(found: DataFrame) -> DataFrame:
    """Flights and late ones a route and day: the one pass over all rows, the rest adds these up."""
    late = F.sum(F.col("late").cast("int")).alias("late")
    return found.groupBy("origin", "destination", "day").agg(F.count("*").alias("flights"), late)


def known(days: DataFrame, group: str) -> DataFrame:
    """By the group's keys and day: shares and counts of the days before it, none of its own."""
    keys = KEYS[group]
    found = days.groupBy(*keys, "day").agg(
        F.sum("flights").alias("flights"), F.sum("late").alias("late")
    )
    told = {}
    for span, width in DAYS.items():
        # The network has one partition, which Spark warns of unless a column names it.
        within: list[Any] = [*keys] or [F.floor(F.col("day") / 10_000)]
        past = Window.partitionBy(*within).orderBy("day").rangeBetween(-width, -1)
        late, count = (F.coalesce(F.sum(name).over(past), F.lit(0)) for name in ("late", "flights"))
        told[f"{group}_{span}"] = (late + LATE) / (count + FLIGHTS)
        if keys:
            told[f"{group}_flights"] = count / width
    return found.select(*keys, "day", *(value.alias(name) for name, value in told.items()))


def prepared(asked: DataFrame, found: DataFrame) -> DataFrame:
    """Each flight `asked` beside what `found` tells of its origin, destination, route and all."""
    days = by_day(found)
    for group, keys in KEYS.items():
        asked = asked.join(known(days, group), [*keys, "day"])
    return asked


def by_pandas(found: pd.DataFrame) -> pd.DataFrame:
    """The same columns on a single machine: all flights at once, as whole columns."""
    day, late = found["day"].to_numpy(), found["late"].to_numpy()
    days, told = int(day.max()) + 1, {}
    for group, keys in KEYS.items():
        places = np.zeros(len(found), dtype=np.int64)
        for key in keys:
            codes, names = pd.factorize(found[key])
            places = places * len(names) + codes
        places, _ = pd.factorize(places)
        cells = places * (days + 1) + day + 1
        size = (int(places.max()) + 1) * (days + 1)
        count, of_late = (
            np.bincount(cells, weights=weights, minlength=size).reshape(-1, days + 1).cumsum(axis=1)
            for weights in (None, late)
        )
        for span, width in DAYS.items():
            since = np.maximum(day - width, 0)
            flown = count[places, day] - count[places, since]
            were = of_late[places, day] - of_late[places, since]
            told[f"{group}_{span}"] = (were + LATE) / (flown + FLIGHTS)
            if keys:
                told[f"{group}_flights"] = flown / width
    return found.assign(**told)
