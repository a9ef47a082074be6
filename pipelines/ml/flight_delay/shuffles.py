"""The cost of one join with skewed keys under several configurations of Spark.

A tenth of the airports have half of the flights, so a few tasks get most rows of a join by airport.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from .events import tasks
from .history import flights
from .spark import session

SALTS = 8
Join = Callable[[DataFrame, DataFrame], DataFrame]


def merge(found: DataFrame, airports: DataFrame) -> DataFrame:
    return found.join(airports.hint("merge"), "origin")


def salt(found: DataFrame, airports: DataFrame) -> DataFrame:
    """Join with `SALTS` copies of each airport, each flight with one of them."""
    copies = airports.withColumn("salt", F.explode(F.sequence(F.lit(0), F.lit(SALTS - 1))))
    which = F.pmod(F.xxhash64("destination", "day"), F.lit(SALTS)).cast("int")
    return found.withColumn("salt", which).join(copies.hint("merge"), ["origin", "salt"])


def broadcast(found: DataFrame, airports: DataFrame) -> DataFrame:
    return found.join(F.broadcast(airports), "origin")


@dataclass(frozen=True)
class Way:
    """A kind of join with its configuration."""

    join: Join
    partitions: int
    adaptive: bool = False
    settings: dict[str, str] = field(default_factory=dict)


# By default Spark merges partitions below 1 MB. It splits a partition only between the tasks that
# wrote it; read in parts of 1 MB, a month of flights comes from two tasks.
SPLIT = {
    "spark_sql_adaptive_coalescePartitions_minPartitionSize": "1k",
    "spark_sql_files_maxPartitionBytes": "1m",
}
WAYS = {
    "join_32": Way(merge, 32),
    "join_200": Way(merge, 200),
    "join_adaptive": Way(merge, 32, adaptive=True),
    "join_adaptive_split": Way(merge, 32, adaptive=True, settings=SPLIT),
    "join_salted": Way(salt, 32),
    "join_broadcast": Way(broadcast, 32),
}


def run_join(files: Path, name: str, days: int, master: str = "local[2]") -> pd.DataFrame:
    """Join flights of the first `days` with a table of their airports; return `events.tasks`."""
    way = WAYS[name]
    # The sizes at which adaptive execution splits are lowered from gigabytes to megabytes.
    settings = {
        "spark_sql_shuffle_partitions": str(way.partitions),
        "spark_sql_adaptive_enabled": str(way.adaptive).lower(),
        "spark_sql_adaptive_skewJoin_skewedPartitionThresholdInBytes": "2k",
        "spark_sql_adaptive_skewJoin_skewedPartitionFactor": "1.2",
        "spark_sql_adaptive_advisoryPartitionSizeInBytes": "4k",
        **way.settings,
    }
    with tempfile.TemporaryDirectory(prefix="events-") as place:
        with session(master, events=Path(place), **settings) as spark:
            found = flights(spark, files).filter(F.col("day") < days)
            airports = found.groupBy("origin").agg(F.avg("distance").alias("usual"))
            spark.sparkContext.setJobDescription("airports")
            known = spark.createDataFrame(airports.toPandas())
            spark.sparkContext.setJobDescription(name)
            way.join(found, known).agg(F.sum(F.col("distance") - F.col("usual"))).collect()
        every = tasks(Path(place))
    return every[every["job"] == name]


def loads(by_task: pd.DataFrame, name: str) -> list[int]:
    """Return the rows of each joining task, the largest first; none if nothing is shuffled."""
    if WAYS[name].join is broadcast:
        return []
    # The joining stage reads most: the one before reads a file, the one after a sum per task.
    stage = by_task.groupby("stage")["read"].sum().idxmax()
    return sorted(by_task.loc[by_task["stage"] == stage, "read"].tolist(), reverse=True)


def join_metrics(by_task: pd.DataFrame, name: str) -> dict[str, float]:
    """Return the cost of a join without times, which differ between runs."""
    read = loads(by_task, name)
    figures = {
        "tasks": float(len(by_task)),
        "shuffled_mb": round(by_task["written"].sum() / 1e6, 2),
    }
    if read:
        figures["largest_task"] = read[0] / sum(read)
    return figures
