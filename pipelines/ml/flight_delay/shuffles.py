"""One join of skewed keys, as Spark is configured in several ways: what each makes of it.

A tenth of the airports see half the flights, so rows that meet by airport do so in a few tasks.
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


def merged(found: DataFrame, airports: DataFrame) -> DataFrame:
    return found.join(airports.hint("merge"), "origin")


def salted(found: DataFrame, airports: DataFrame) -> DataFrame:
    """Each airport stands `SALTS` times, and each of its flights meets one of them."""
    copies = airports.withColumn("salt", F.explode(F.sequence(F.lit(0), F.lit(SALTS - 1))))
    salt = F.pmod(F.xxhash64("destination", "day"), F.lit(SALTS)).cast("int")
    return found.withColumn("salt", salt).join(copies.hint("merge"), ["origin", "salt"])


def broadcast(found: DataFrame, airports: DataFrame) -> DataFrame:
    return found.join(F.broadcast(airports), "origin")


@dataclass(frozen=True)
class Way:
    join: Join
    partitions: int
    adaptive: bool = False
    settings: dict[str, str] = field(default_factory=dict)


# Partitions below 1 MB are merged unless told otherwise. One is split only between the tasks that
# wrote it: read in parts of 1 MB, a month of flights comes from two.
SPLIT = {
    "spark_sql_adaptive_coalescePartitions_minPartitionSize": "1k",
    "spark_sql_files_maxPartitionBytes": "1m",
}
WAYS = {
    "join_32": Way(merged, 32),
    "join_200": Way(merged, 200),
    "join_adaptive": Way(merged, 32, adaptive=True),
    "join_adaptive_split": Way(merged, 32, adaptive=True, settings=SPLIT),
    "join_salted": Way(salted, 32),
    "join_broadcast": Way(broadcast, 32),
}


def tried(files: Path, name: str, days: int, master: str = "local[2]") -> pd.DataFrame:
    """`events.tasks` of joining the flights of the first `days` with a table of their airports."""
    way = WAYS[name]
    # Sizes from which adaptive execution splits: for megabytes here, where a cluster has gigabytes.
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
        told = tasks(Path(place))
    return told[told["job"] == name]


def loads(told: pd.DataFrame, name: str) -> list[int]:
    """Rows of each task that joins, the largest first; none where nothing is shuffled for it."""
    if WAYS[name].join is broadcast:
        return []
    # The stage that joins reads most; the one before reads a file, the one after a sum a task.
    stage = told.groupby("stage")["read"].sum().idxmax()
    return sorted(told.loc[told["stage"] == stage, "read"].tolist(), reverse=True)


def measured(told: pd.DataFrame, name: str) -> dict[str, float]:
    """What a way costs, times left out: they differ from run to run."""
    read = loads(told, name)
    figures = {"tasks": float(len(told)), "shuffled_mb": round(told["written"].sum() / 1e6, 2)}
    if read:
        figures["largest_task"] = read[0] / sum(read)
    return figures
