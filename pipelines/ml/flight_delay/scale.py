"""Flights in a number that memory does not hold: Spark and a single machine with as much of it.

    python -m pipelines.ml.flight_delay.scale --rows 20000000 --memory 1g

writes that many flights: real ones drawn again and again, their delays moved by some minutes, and
says so. Then Spark, and pandas with scikit-learn, each in a process of its own, make of them what
`history.py` makes, learn on all days but the last 30, and are judged on these. `--memory` is the
heap of Spark's Java. The single machine may take `--single` beyond Python and its libraries; unless
it is given, as much as all of Spark's processes took, their programs included. `--master` names a
cluster for Spark's half, unchanged, and `--set spark.sql.shuffle.partitions=200` a setting of it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from slipway.datasets import fetch

from .data import FILE
from .events import tasks
from .history import FIRST, LATE_FROM, by_pandas, flights, prepared
from .model import FIELDS, columns
from .spark import numbers, session

# A million a time: the writer too stays small.
CHUNK = 1_000_000
JITTER = 3
LAST = 30
STRENGTH = 0.01


def grow(files: Path, folder: Path, rows: int, seed: int) -> None:
    """Write `rows` flights drawn from the real ones, each delay moved by about `JITTER` minutes."""
    rng = np.random.default_rng(seed)
    real = pq.read_table(files)
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        drawn = real.take(pa.array(np.sort(rng.integers(0, len(real), count))))
        moved = drawn["delay"].to_numpy() + rng.normal(0, JITTER, count).round().astype(np.int64)
        place = drawn.schema.get_field_index("delay")
        told = drawn.set_column(place, "delay", pa.array(moved))
        pq.write_table(told, folder / f"{start // CHUNK:05}.parquet")


def with_spark(folder: Path, master: str, memory: str, *settings: str) -> dict[str, Any]:
    """Seconds, megabytes spilled to disk and peak, and the area under the curve."""
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.evaluation import BinaryClassificationEvaluator
    from pyspark.storagelevel import StorageLevel

    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="events-") as place:
        chosen = dict(each.split("=", 1) for each in settings)
        with session(master, memory=memory, events=Path(place), **chosen) as spark:
            found = flights(spark, folder)
            told = prepared(found, found)
            label = F.col("late").cast("double").alias("label")
            made = told.select("day", numbers().alias("features"), label)
            # What does not fit goes to disk.
            made = made.persist(StorageLevel.MEMORY_AND_DISK)
            last = made.agg(F.max("day")).collect()[0][0] - LAST
            learner = LogisticRegression(regParam=STRENGTH)
            model = learner.fit(made.filter(F.col("day") <= last))
            judged = model.transform(made.filter(F.col("day") > last))
            area = BinaryClassificationEvaluator().evaluate(judged)
            figures = {"seconds": time.perf_counter() - start, "peak_mb": peak_of_java()}
        spilled = tasks(Path(place))["spilled"].sum() / 1e6
    return figures | {"spilled_mb": float(spilled), "roc_auc": area}


def peak_of_java() -> float:
    """Of this process' children, the Java and its Pythons, in megabytes at their largest."""
    import psutil

    found = 0.0
    for child in psutil.Process().children(recursive=True):
        # One that has ended in the meantime.
        with suppress(FileNotFoundError, ProcessLookupError):
            found += status(Path(f"/proc/{child.pid}"), "VmHWM")
    return found


def status(process: Path, name: str) -> float:
    """What the kernel counts of a process, in megabytes; 0 of one that has ended."""
    lines = (process / "status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def with_pandas(folder: Path, megabytes: int) -> dict[str, Any]:
    """The same by whole columns, names as categories; without enough memory, at which step."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Threads are started before the limit: one that finds no memory for its stack ends the process.
    pa.set_io_thread_count(1)
    pq.read_table(next(folder.glob("*.parquet")), columns=["delay"], use_threads=False)
    limit = int(status(Path("/proc/self"), "VmData") + megabytes) * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start, step = time.perf_counter(), "reading"
    try:
        names = ["origin", "destination"]
        raw = pq.read_table(folder, read_dictionary=names, use_threads=False).to_pandas()
        day = (raw["date"].dt.normalize() - pd.Timestamp(FIRST)).dt.days.astype("int32")
        raw["day"], raw["weekday"], raw["late"] = day, day % 7, raw.pop("delay") > LATE_FROM
        del raw["date"]
        step = "preparing"
        told = by_pandas(raw)
        rows = columns({name: told[name].to_numpy() for name in FIELDS})
        step = "learning"
        late, last = told["late"].to_numpy(), told["day"].to_numpy() > int(day.max()) - LAST
        # A mean penalty as MLlib's, which C is not.
        weight = 1 / (STRENGTH * (~last).sum())
        learner = make_pipeline(StandardScaler(), LogisticRegression(C=weight, max_iter=500))
        learner.fit(rows[~last], late[~last])
        area = float(roc_auc_score(late[last], learner.predict_proba(rows[last])[:, 1]))
    except (MemoryError, pa.ArrowMemoryError):
        return {"seconds": time.perf_counter() - start, "out_of_memory_when": step}
    peak = status(Path("/proc/self"), "VmHWM")
    return {"seconds": time.perf_counter() - start, "peak_mb": peak, "roc_auc": area}


def apart(name: str, *arguments: object) -> dict[str, Any]:
    """One half in a Python of its own, so that neither counts the other's memory.

    Raises:
        RuntimeError: it failed otherwise than by telling figures; the message is its last line.
    """
    words = ["-m", __spec__.name, name, *map(str, arguments)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise RuntimeError(f"{name}: {said[-1]}")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


def megabytes(memory: str) -> int:
    """Of `1g` or `512m`.

    Raises:
        ValueError: it is neither.
    """
    number, unit = memory[:-1], memory[-1:]
    if not number.isdigit() or unit not in ("m", "g"):
        raise ValueError(f"{memory!r} must be like 512m or 1g")
    return int(number) * (1024 if unit == "g" else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--memory", default="1g")
    parser.add_argument("--single")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    heap, limit = megabytes(asked.memory), megabytes(asked.single) if asked.single else None
    with tempfile.TemporaryDirectory(prefix="flights-") as place:
        grow(fetch("us_flights_3m").path(FILE), Path(place), asked.rows, seed=22)
        print(f"{asked.rows:,} flights drawn from 3,000,000 real ones, delays moved by minutes")
        spark = apart("with_spark", place, asked.master, asked.memory, *asked.set)
        print(f"spark, a heap of {heap} MB: {told(spark)}", flush=True)
        limit = limit or int(spark["peak_mb"])
        print(f"pandas in {limit} MB: {told(apart('with_pandas', place, limit))}", flush=True)


def told(figures: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["with_spark"]:
        print(json.dumps(with_spark(Path(sys.argv[2]), *sys.argv[3:])))
    elif sys.argv[1:2] == ["with_pandas"]:
        print(json.dumps(with_pandas(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
