"""Features known on the morning of a flight's day, by Spark; `flight_routes` has them by pandas."""

from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from slipway.features.tables.flight_routes import DAYS, FIRST, FLIGHTS, KEYS, LATE, LATE_FROM


def flights(spark: SparkSession, files: Path) -> DataFrame:
    """Return each flight with its `day` since `FIRST`, `weekday` and whether it was `late`.

    The time of day in `date` is dropped, since it is the actual departure: a late flight leaves
    later, so the hour would reveal the delay. 67 % of the flights that leave between 2 and 4 at
    night are late.
    """
    raw = spark.read.parquet(str(files))
    day = F.datediff(F.to_date("date"), F.lit(str(FIRST.date())))
    return raw.select(
        "origin",
        "destination",
        F.col("distance").cast("int").alias("distance"),
        day.alias("day"),
        (day % 7).alias("weekday"),
        (F.col("delay") > LATE_FROM).alias("late"),
        # The file has no flight number, so a hash serves for sampling and ordering.
        F.xxhash64("date", "origin", "destination", "delay").alias("name"),
    )


def by_day(every: DataFrame) -> DataFrame:
    """Return the numbers of flights and of late ones per route and day.

    This is the only pass over all rows; everything else sums these up.
    """
    late = F.sum(F.col("late").cast("int")).alias("late")
    return every.groupBy("origin", "destination", "day").agg(F.count("*").alias("flights"), late)


def known(days: DataFrame, group: str) -> DataFrame:
    """Return shares and counts of the days before each day, by the group's keys and day."""
    keys = KEYS[group]
    sums = days.groupBy(*keys, "day").agg(
        F.sum("flights").alias("flights"), F.sum("late").alias("late")
    )
    by_name = {}
    for span, width in DAYS.items():
        # The network is one partition; Spark warns of that unless a column defines it.
        within: list[Any] = [*keys] or [F.floor(F.col("day") / 10_000)]
        past = Window.partitionBy(*within).orderBy("day").rangeBetween(-width, -1)
        late, count = (F.coalesce(F.sum(name).over(past), F.lit(0)) for name in ("late", "flights"))
        by_name[f"{group}_{span}"] = (late + LATE) / (count + FLIGHTS)
        if keys:
            by_name[f"{group}_flights"] = count / width
    return sums.select(*keys, "day", *(value.alias(name) for name, value in by_name.items()))


def add_history(selected: DataFrame, every: DataFrame) -> DataFrame:
    """Join the `selected` flights with the history of their origin, destination, route and network.

    The history is that of `every` flight.
    """
    days = by_day(every)
    for group, keys in KEYS.items():
        selected = selected.join(known(days, group), [*keys, "day"])
    return selected
