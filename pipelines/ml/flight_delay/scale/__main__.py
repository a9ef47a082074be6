"""Measure Spark and single machines on up to ten gigabytes of flights, under one limit of memory.

    python -m pipelines.ml.flight_delay.scale

Each size is written, measured and deleted. `measured.json` is written after each run, so that an
interrupted measurement goes on with the runs that it lacks; `--fresh` begins anew. Ten gigabytes
need 15 GB of disk. Spark takes most of an hour on two cores. `--page` only writes the tables and
pictures of the README from the file.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from slipway import arithmetic
from slipway.datasets import fetch
from slipway.features.tables.flight_routes import FILE

from . import page, rows
from .memory import run_limited
from .skew import WAYS
from .task import CORES

MEASURED = Path(__file__).with_name("measured.json")
LIMIT = 4 * 2**30
GENERATION = 2**30
PATIENCE = 1500
RIVALS = ("pandas", "polars", "duckdb", "spark")
SIZES = (0.1, 1.0, 3.0, 10.0)
# Gigabytes: for Spark's configurations, of which each takes minutes on more, and for its joins.
CONFIGURED_AT, JOINED_AT = 0.1, 1.0
# Rows whose prepared features are read at once, to compare the means of all engines.
BATCH = 200_000


@dataclass(frozen=True)
class Run:
    """One engine on one size."""

    engine: str
    gigabytes: float
    options: dict[str, Any] = field(default_factory=dict)

    def key(self) -> dict[str, Any]:
        return {"engine": self.engine, "gigabytes": self.gigabytes, "options": self.options}


def plan(sizes: Iterable[float], configured_at: float, joined_at: float) -> Iterator[list[Run]]:
    """Yield runs of one size at a time: all engines, Spark's configurations, its skewed joins."""
    for size in sizes:
        yield [Run(engine, size) for engine in RIVALS]
    options: list[dict[str, Any]] = [
        {"executors": 2},
        {"executors": 1},
        # The default is 32 adaptive ones.
        *({"partitions": count, "adaptive": False} for count in (32, 8, 200)),
        {"cores": 1},
    ]
    yield [Run("spark", configured_at, each) for each in options]
    yield [Run("skew", joined_at, {"way": way}) for way in WAYS]


def generate(folder: Path, gigabytes: float) -> dict[str, Any]:
    """Write the flights of a size in a process of its own; return its figures.

    Raises:
        RuntimeError: it failed, or needed more memory than `GENERATION`.
    """
    count, log = rows.rows_of(gigabytes), folder.with_suffix(".log")
    command = [sys.executable, "-m", rows.__name__, str(folder), str(count)]
    used = run_limited(command, limit=GENERATION, seconds=PATIENCE, log=log)
    if used.ended != "done":
        raise RuntimeError(f"generation ended ({used.ended}); its log: {log.read_text()[-500:]}")
    files = sorted(folder.glob("*.parquet"))
    return {
        "rows": count,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "seconds": round(used.seconds, 1),
        "peak_gb": round(used.peak_bytes / 1e9, 3),
        "compressed_share": round(compressed_share(files[0]), 3),
    }


def compressed_share(file: Path) -> float:
    """Return the size of a file with dictionaries and zstd, relative to its own."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pq.read_table(file), buffer, compression="zstd")
    compressed: int = buffer.tell()
    return compressed / file.stat().st_size


def prepared_means(prepared: Path) -> dict[str, float]:
    """Return the number of prepared flights and the means of all columns but the number."""
    data = ds.dataset(prepared, format="parquet")
    names = [name for name in data.schema.names if name != "number"]
    sums, count = dict.fromkeys(names, 0.0), 0
    for batch in data.to_batches(batch_size=BATCH, batch_readahead=1, fragment_readahead=1):
        count += len(batch)
        for name in names:
            sums[name] += pc.sum(batch[name].cast(pa.float64())).as_py() or 0.0
    return {"rows": count} | {name: total / max(count, 1) for name, total in sums.items()}


def measure(run: Run, flights: Path, *, limit: int = LIMIT) -> dict[str, Any]:
    """Run an engine under the limit; return its time, memory, result and the step that it reached.

    Raises:
        RuntimeError: it failed for another reason than memory or time.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="scale-", dir=flights.parent) as place:
        prepared, result, log = (Path(place) / name for name in ("prepared", "result", "log"))
        prepared.mkdir()
        words = [run.engine, flights, prepared, result, json.dumps(run.options)]
        command = [sys.executable, "-m", f"{__package__}.engine", *map(str, words)]
        threads = {
            name: str(CORES)
            for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        }
        # What is spilled goes beside the flights, and is deleted with them even after a kill.
        env = os.environ | threads | {"TMPDIR": place}
        used = run_limited(command, limit=limit, seconds=PATIENCE, log=log, env=env)
        found = json.loads(result.read_text()) if result.is_file() else {}
        text = log.read_text(errors="replace")
        reason = used.ended
        if reason == "failed" and out_of_memory(text):
            reason = "memory"
        if reason == "failed":
            raise RuntimeError(f"{run}: {text[-2000:]}")
        if reason == "done" and run.engine != "skew":
            found["means"] = prepared_means(prepared)
    return {
        **run.key(),
        "ended": reason,
        "seconds": round(used.seconds, 2),
        "cpu_seconds": round(used.cpu_seconds, 2),
        "peak_gb": round(used.peak_bytes / 1e9, 3),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
        "result": found,
    }


def out_of_memory(log: str) -> bool:
    """Return whether an engine ended by itself since its own share of the memory was too small."""
    signs = ("OutOfMemoryError", "MemoryError", "Out of Memory Error", "OutOfMemoryException")
    return any(sign in log for sign in signs)


def key_shares() -> dict[str, float]:
    """Return the share of the largest key, for a key of the airport alone and with the day."""
    real = rows.real_flights(fetch("us_flights_3m").path(FILE)).to_pandas()
    day = real["date"].dt.date
    return {
        "origin": float(real["origin"].value_counts(normalize=True).max()),
        "origin_and_day": float(real.groupby(["origin", day]).size().max() / len(real)),
    }


class Measured:
    """`measured.json`."""

    def __init__(self, file: Path, *, fresh: bool) -> None:
        self.file = file
        self.content: dict[str, Any] = {"generated": {}, "runs": []}
        if file.is_file() and not fresh:
            self.content = json.loads(file.read_text())

    def has(self, run: Run) -> bool:
        return any(run.key().items() <= each.items() for each in self.content["runs"])

    def write(self) -> None:
        self.file.write_text(json.dumps(self.content, indent=1) + "\n")


def measure_all(measured: Measured, runs_by_size: Iterable[list[Run]], place: Path) -> None:
    """Measure the runs that are missing; each list has those of one size."""
    content = measured.content
    content["machine"] = {"cpu": arithmetic.processor(), "cores": os.cpu_count() or 0}
    content["limit_gib"] = LIMIT / 2**30
    content["shared"] = "other programs ran on the machine; `load` is before and after each run"
    content["largest_keys"] = key_shares()
    for runs in runs_by_size:
        missing = [run for run in runs if not measured.has(run)]
        if not missing:
            continue
        size = missing[0].gigabytes
        flights = place / f"flights-{size:g}"
        flights.mkdir()
        content["generated"][f"{size:g}"] = generate(flights, size)
        for run in missing:
            done = measure(run, flights)
            content["runs"].append(done)
            measured.write()
            print(
                f"{time.strftime('%H:%M:%S')} {run}: {done['ended']} {done['seconds']} s, "
                f"{done['peak_gb']} GB",
                flush=True,
            )
        shutil.rmtree(flights)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--fresh", action="store_true", help="measure everything anew")
    options.add_argument("--page", action="store_true", help="only write tables and pictures")
    options.add_argument("--sizes", type=float, nargs="+", default=SIZES, help="gigabytes")
    options.add_argument("--file", type=Path, default=MEASURED)
    chosen = options.parse_args()
    measured = Measured(chosen.file, fresh=chosen.fresh)
    if not chosen.page:
        with tempfile.TemporaryDirectory(prefix="flights-") as place:
            runs = plan(chosen.sizes, CONFIGURED_AT, JOINED_AT)
            measure_all(measured, runs, Path(place))
    if chosen.file == MEASURED:
        page.write(measured.content)


if __name__ == "__main__":
    main()
