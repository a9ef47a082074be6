"""The history and the learning by Spark, on this machine or on a cluster of its processes."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from slipway.features.tables.flight_routes import FIRST, LATE_FROM

from ..events import tasks
from ..history import add_history
from ..model import COUNTS, NUMBERS, SHARES
from ..spark import session
from .cluster import cluster
from .task import BEGIN, CORES, EVERY, PREPARED, STRENGTHS, TEST_FROM, VALID_FROM, Learned, Report

# Of a limit of 4 GiB: a Java takes about half a gigabyte beyond its heap. A cluster has four or
# five of them, so less is left for the heaps of the executors, here in sum.
HEAP, DRIVER, EXECUTORS = 2560, 512, 1536


@contextmanager
def spark_on(executors: int, cores: int, events: Path, **settings: str) -> Iterator[SparkSession]:
    """Open a session in this machine's one Java, or on a cluster of so many executors."""
    if not executors:
        with session(f"local[{cores}]", memory=f"{HEAP}m", events=events, **settings) as spark:
            yield spark
        return
    memory, each = f"{EXECUTORS // executors}m", cores // executors
    own = {"spark_executor_memory": memory, "spark_executor_cores": str(each)}
    with (
        cluster(executors, cores=each, memory=memory) as url,
        session(url, memory=f"{DRIVER}m", events=events, **own, **settings) as spark,
    ):
        yield spark


def read(spark: SparkSession, flights: Path) -> DataFrame:
    """Return each flight with its number, day, weekday and whether it was late."""
    day = F.datediff(F.to_date("date"), F.lit(str(FIRST.date())))
    return spark.read.parquet(str(flights)).select(
        "number",
        "origin",
        "destination",
        "distance",
        day.alias("day"),
        (day % 7).alias("weekday"),
        (F.col("delay") > LATE_FROM).alias("late"),
    )


def numbers() -> list[Column]:
    """Return `model.columns` as Spark's own expressions, so that no row passes through Python."""
    odds = [F.log(F.col(name) / (1 - F.col(name))).alias(name) for name in SHARES]
    counts = [F.log1p(name).alias(name) for name in COUNTS]
    days = [(F.col("weekday") == day).alias(f"weekday_{day}") for day in range(1, 7)]
    return [*odds, *counts, F.log("distance").alias("distance"), *days]


def learn(spark: SparkSession, prepared: Path) -> Learned:
    """Fit each penalty, choose on the validation days, and score the chosen on the test days."""
    rows = spark.read.parquet(str(prepared)).select("day", "late", *numbers())
    rows = rows.select(
        "day",
        F.col("late").cast("double").alias("label"),
        *(F.col(name).cast("float") for name in NUMBERS),
    )
    rows = VectorAssembler(inputCols=list(NUMBERS), outputCol="features").transform(rows)
    rows = rows.select("day", "label", "features")
    train, day = rows.filter(F.col("day") < VALID_FROM), F.col("day")
    valid = rows.filter((day >= VALID_FROM) & (day < TEST_FROM))
    # By default the area is that of 1000 bins.
    area = BinaryClassificationEvaluator(numBins=0)
    models, found = {}, {}
    for strength in STRENGTHS:
        models[strength] = LogisticRegression(regParam=strength, maxIter=100, tol=1e-6).fit(train)
        found[strength] = area.evaluate(models[strength].transform(valid))
    best = max(STRENGTHS, key=lambda each: found[each])
    return {
        "rows": train.count(),
        "valid_roc_auc": {f"{strength:g}": area for strength, area in found.items()},
        "strength": best,
        "test_roc_auc": area.evaluate(models[best].transform(rows.filter(day >= TEST_FROM))),
    }


def run(
    flights: Path,
    prepared: Path,
    report: Report,
    *,
    executors: int = 0,
    cores: int = CORES,
    partitions: int = 32,
    adaptive: bool = True,
) -> Learned:
    """Prepare and learn by Spark; 0 `executors` means one Java without a cluster."""
    report("starting")
    settings = {
        "spark_sql_shuffle_partitions": str(partitions),
        "spark_sql_adaptive_enabled": str(adaptive).lower(),
    }
    with tempfile.TemporaryDirectory(prefix="events-") as place:
        with spark_on(executors, cores, Path(place), **settings) as spark:
            report("preparing")
            every = read(spark, flights)
            sampled = every.filter((F.col("number") % EVERY == 0) & (F.col("day") >= BEGIN))
            spark.sparkContext.setJobDescription("prepare")
            table = add_history(sampled, every).select(*PREPARED)
            table.write.mode("overwrite").parquet(str(prepared))
            report("learning")
            spark.sparkContext.setJobDescription("learn")
            learned = learn(spark, prepared)
        by_task = tasks(Path(place))
    preparing = by_task[by_task["job"] == "prepare"]
    report(
        tasks=len(preparing),
        shuffled_mb=float(preparing["written"].sum() / 1e6),
        spilled_mb=float(by_task["spilled"].sum() / 1e6),
    )
    return learned
