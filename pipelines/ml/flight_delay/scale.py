"""Compare Spark with a single machine on more flights than fit into memory.

    python -m pipelines.ml.flight_delay.scale --rows 20000000 --memory 1g

The script writes that many flights: real ones drawn with replacement, with their delays moved by
some minutes. Then Spark, and pandas with scikit-learn, each in its own process, compute the
features of `history.py`, learn on all days but the last 30, and are scored on these. `--memory` is
the heap of Spark's Java. `--single` is the memory of the single machine beyond Python and its
libraries; by default it is what all of Spark's processes took, their programs included. `--master`
names a cluster for Spark, and `--set spark.sql.shuffle.partitions=200` changes a setting of Spark.
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
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from slipway.datasets import fetch
from slipway.features.tables.flight_routes import FILE, FIRST, LATE_FROM, with_history

from .events import tasks
from .history import add_history, flights
from .model import FIELDS, columns
from .spark import numbers, session

# Rows per file, so that writing needs little memory.
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
        changed = drawn.set_column(place, "delay", pa.array(moved))
        pq.write_table(changed, folder / f"{start // CHUNK:05}.parquet")


def with_spark(folder: Path, master: str, memory: str, *settings: str) -> dict[str, Any]:
    """Run Spark's half; return seconds, peak and spilled megabytes, and ROC AUC."""
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.evaluation import BinaryClassificationEvaluator
    from pyspark.storagelevel import StorageLevel

    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="events-") as place:
        chosen = dict(each.split("=", 1) for each in settings)
        with session(master, memory=memory, events=Path(place), **chosen) as spark:
            every = flights(spark, folder)
            label = F.col("late").cast("double").alias("label")
            table = add_history(every, every).select("day", numbers().alias("features"), label)
            # Rows that do not fit into memory go to disk.
            table = table.persist(StorageLevel.MEMORY_AND_DISK)
            last = table.agg(F.max("day")).collect()[0][0] - LAST
            learner = LogisticRegression(regParam=STRENGTH)
            model = learner.fit(table.filter(F.col("day") <= last))
            predictions = model.transform(table.filter(F.col("day") > last))
            area = BinaryClassificationEvaluator().evaluate(predictions)
            figures = {"seconds": time.perf_counter() - start, "peak_mb": peak_of_java()}
        spilled = tasks(Path(place))["spilled"].sum() / 1e6
    return figures | {"spilled_mb": float(spilled), "roc_auc": area}


def peak_of_java() -> float:
    """Return the sum of the peak megabytes of this process' children, Java and Pythons."""
    import psutil

    total = 0.0
    for child in psutil.Process().children(recursive=True):
        # A child may have ended in the meantime.
        with suppress(FileNotFoundError, ProcessLookupError):
            total += status(Path(f"/proc/{child.pid}"), "VmHWM")
    return total


def status(process: Path, name: str) -> float:
    """Return a memory counter of a process in megabytes; 0 if it has ended."""
    lines = (process / "status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def with_pandas(folder: Path, megabytes: int) -> dict[str, Any]:
    """Run pandas' half within `megabytes`; if they do not suffice, return the failing step."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Start threads before the limit: a thread without memory for its stack ends the process.
    pa.set_io_thread_count(1)
    pq.read_table(next(folder.glob("*.parquet")), columns=["delay"], use_threads=False)
    limit = int(status(Path("/proc/self"), "VmData") + megabytes) * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start, step = time.perf_counter(), "reading"
    try:
        names = ["origin", "destination"]
        raw = pq.read_table(folder, read_dictionary=names, use_threads=False).to_pandas()
        day = (raw["date"].dt.normalize() - FIRST).dt.days.astype("int32")
        raw["day"], raw["weekday"], raw["late"] = day, day % 7, raw.pop("delay") > LATE_FROM
        del raw["date"]
        step = "preparing"
        table = with_history(raw)
        rows = columns({name: table[name].to_numpy() for name in FIELDS})
        step = "learning"
        late, last = table["late"].to_numpy(), table["day"].to_numpy() > int(day.max()) - LAST
        # MLlib's penalty is relative to the mean loss, and C to the sum.
        weight = 1 / (STRENGTH * (~last).sum())
        learner = make_pipeline(StandardScaler(), LogisticRegression(C=weight, max_iter=500))
        learner.fit(rows[~last], late[~last])
        area = float(roc_auc_score(late[last], learner.predict_proba(rows[last])[:, 1]))
    except (MemoryError, pa.ArrowMemoryError):
        return {"seconds": time.perf_counter() - start, "out_of_memory_when": step}
    peak = status(Path("/proc/self"), "VmHWM")
    return {"seconds": time.perf_counter() - start, "peak_mb": peak, "roc_auc": area}


def run_separately(name: str, *arguments: object) -> dict[str, Any]:
    """Run one half in its own Python, so that neither counts the other's memory.

    Raises:
        RuntimeError: it failed without printing results; the message is its last line.
    """
    words = ["-m", __spec__.name, name, *map(str, arguments)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        errors = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise RuntimeError(f"{name}: {errors[-1]}")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


def megabytes(memory: str) -> int:
    """Return the megabytes of `1g` or `512m`.

    Raises:
        ValueError: the text has another form.
    """
    number, unit = memory[:-1], memory[-1:]
    if not number.isdigit() or unit not in ("m", "g"):
        raise ValueError(f"{memory!r} must have a form like 512m or 1g")
    return int(number) * (1024 if unit == "g" else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--memory", default="1g")
    parser.add_argument("--single")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    heap, limit = megabytes(options.memory), megabytes(options.single) if options.single else None
    with tempfile.TemporaryDirectory(prefix="flights-") as place:
        grow(fetch("us_flights_3m").path(FILE), Path(place), options.rows, seed=22)
        print(f"{options.rows:,} flights drawn from 3,000,000 real ones, delays moved by minutes")
        spark = run_separately("with_spark", place, options.master, options.memory, *options.set)
        print(f"spark, a heap of {heap} MB: {as_text(spark)}", flush=True)
        limit = limit or int(spark["peak_mb"])
        print(
            f"pandas in {limit} MB: {as_text(run_separately('with_pandas', place, limit))}",
            flush=True,
        )


def as_text(figures: dict[str, Any]) -> str:
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
