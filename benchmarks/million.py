"""Measure the monitor's cost of reading a million rows, half of them compacted to Parquet."""

import json
import os
import random
import resource
import time
from pathlib import Path
from typing import Any

import psutil

from services.monitor.catalogue import Catalogue
from services.monitor.check import look
from services.monitor.settings import Settings
from services.monitor.traffic import Traffic
from slipway.predictions import ids
from slipway.predictions.compact import compact
from slipway.predictions.record import line

PROJECT = "titanic"
SEGMENTS = 8


class Elsewhere(Settings):
    """Reads the generated log; the references are those of this checkout."""

    log: Path

    @property
    def records(self) -> Path:
        return self.log


def measure(folder: Path, *, rows: int) -> dict[str, Any]:
    """Return seconds and memory of the first read of the whole log, and of reading new rows."""
    settings = Elsewhere(log=folder)
    catalogue = Catalogue(settings)
    catalogue.refresh()
    reference = catalogue.reference(PROJECT)
    records = [(row["record"], row["prediction"]) for row in reference.rows]
    now = time.time()
    _write_log(folder, records, reference.version.version, rows, now)
    size = sum(file.stat().st_size for file in folder.iterdir())
    look_once(settings, reference)  # so that imports, 3.6 s for Evidently, do not count
    before = psutil.Process().memory_info().rss
    traffic = Traffic(settings)
    start = time.perf_counter()
    cpu = time.process_time()
    traffic.update({PROJECT: reference}, time.time())
    read, read_cpu = time.perf_counter() - start, time.process_time() - cpu
    start = time.perf_counter()
    windows, _, _ = look(traffic.watched[PROJECT], settings, time.time())
    looked = time.perf_counter() - start
    after = psutil.Process().memory_info().rss
    _segment(folder, records, reference.version.version, 10_000, SEGMENTS, time.time(), 60.0)
    start = time.perf_counter()
    traffic.update({PROJECT: reference}, time.time())
    again = time.perf_counter() - start
    by_name = {check.window: check for check, _ in windows}
    return {
        "rows": by_name["time"].rows,
        "sampled": by_name["time"].sampled,
        "log_bytes": size,
        "read_seconds": round(read, 1),
        "read_cpu_seconds": round(read_cpu, 1),
        "check_seconds": round(looked, 2),
        "next_10000_seconds": round(again, 2),
        "memory_grown_bytes": after - before,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "load": os.getloadavg()[0],
    }


def look_once(settings: Elsewhere, reference: Any) -> None:
    """Run the check once without rows, but with a table comparison."""
    from services.monitor import drift

    drift.compare(reference.table, reference.table, reference.layout, drift.Rule())
    traffic = Traffic(settings.model_copy(update={"log": settings.log / "nothing"}))
    traffic.update({PROJECT: reference}, time.time())


def _write_log(
    folder: Path, records: list[tuple[Any, Any]], version: str, rows: int, now: float
) -> None:
    """Write rows spread over the last 23 hours, with the older half compacted."""
    hours = 23 * 3600.0
    each = rows // SEGMENTS
    for part in range(SEGMENTS):
        end = now - hours * (1 - (part + 1) / SEGMENTS)
        _segment(folder, records, version, each, part, end, hours / SEGMENTS)
        if part == SEGMENTS // 2 - 1:
            compact(folder, seconds=0)


def _segment(
    folder: Path,
    records: list[tuple[Any, Any]],
    version: str,
    rows: int,
    part: int,
    end: float,
    seconds: float,
) -> None:
    rng, offset = random.Random(part), 0
    bodies = [
        (json.dumps(record).encode(), json.dumps(answer).encode()) for record, answer in records
    ]
    with (folder / f"{part + 1:08x}.jsonl").open("wb") as stream:
        for number in range(rows):
            inputs, outputs = rng.choice(bodies)
            moment = end - seconds * (1 - (number + 1) / rows)
            id = ids.compose(
                milliseconds=int(moment * 1000),
                count=number % ids.COUNTS,
                segment=part + 1,
                offset=offset,
            )
            text = line(
                id=id,
                project=PROJECT,
                version=version,
                digest="ab" * 32,
                variant="champion",
                inputs=inputs,
                outputs=outputs,
                seconds=0.0001,
            )
            stream.write(text)
            offset += len(text)
