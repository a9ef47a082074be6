"""A join of all flights by airport, whose largest key has a twentieth of the rows.

The keys of the history contain the day, so none of them is large. A join by airport alone is the
one that is skewed. The joins are those of `shuffles.py`, with the settings of a large table.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from ..events import tasks
from ..history import flights
from ..shuffles import broadcast, merge, salt
from ..spark import session
from .task import CORES
from .with_spark import HEAP

PARTITIONS = 32
# By default a partition is split above 256 MB and five times the median, which suits a cluster.
LOWER = {
    "spark_sql_adaptive_skewJoin_skewedPartitionThresholdInBytes": "4m",
    "spark_sql_adaptive_skewJoin_skewedPartitionFactor": "1.5",
    "spark_sql_adaptive_advisoryPartitionSizeInBytes": "8m",
}
ADAPTIVE = {"spark_sql_adaptive_enabled": "true"}
WAYS: dict[str, tuple[Any, dict[str, str]]] = {
    "plain": (merge, {}),
    "salted": (salt, {}),
    "adaptive": (merge, ADAPTIVE),
    "adaptive_lower": (merge, ADAPTIVE | LOWER),
    "salted_adaptive": (salt, ADAPTIVE),
    "broadcast": (broadcast, {}),
}


def join(files: Path, way: str) -> dict[str, float]:
    """Join the flights with a table of their airports; return its cost and a sum as its result.

    `largest_share` is that of the largest joining task, in rows. `cores_used` is the number of
    cores beyond which the join would not get faster: the seconds of all joining tasks relative to
    those of the longest.
    """
    joined, settings = WAYS[way]
    chosen = {
        "spark_sql_shuffle_partitions": str(PARTITIONS),
        "spark_sql_adaptive_enabled": "false",
        # Set for each, since a Java that is used again keeps the settings of the last session.
        "spark_sql_adaptive_skewJoin_skewedPartitionThresholdInBytes": "256m",
        "spark_sql_adaptive_skewJoin_skewedPartitionFactor": "5",
        "spark_sql_adaptive_advisoryPartitionSizeInBytes": "64m",
    }
    master, heap = f"local[{CORES}]", f"{HEAP}m"
    with tempfile.TemporaryDirectory(prefix="events-") as place:
        events = Path(place)
        with session(master, memory=heap, events=events, **(chosen | settings)) as spark:
            every = flights(spark, files)
            usual = every.groupBy("origin").agg(F.avg("distance").alias("usual")).toPandas()
            airports = spark.createDataFrame(usual)
            spark.sparkContext.setJobDescription(way)
            # Centred distances would sum up to nothing; squares do not.
            apart = F.sum((F.col("distance") - F.col("usual")) ** 2)
            began = time.perf_counter()
            total = joined(every, airports).agg(apart).collect()[0][0]
            seconds = time.perf_counter() - began
        by_task = tasks(events)
    by_task = by_task[by_task["job"] == way]
    stage = by_task.groupby("stage")["read"].sum().idxmax()
    joining = by_task[by_task["stage"] == stage]
    found = {
        "seconds": seconds,
        "tasks": len(by_task),
        "shuffled_mb": float(by_task["written"].sum() / 1e6),
        "spilled_mb": float(by_task["spilled"].sum() / 1e6),
        "total": float(total),
    }
    # A broadcast join shuffles none of the flights.
    if joined is not broadcast:
        found["largest_share"] = float(joining["read"].max() / joining["read"].sum())
        found["cores_used"] = float(joining["seconds"].sum() / joining["seconds"].max())
    return found
