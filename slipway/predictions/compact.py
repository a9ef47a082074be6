"""Compaction of closed segments to Parquet, and deletion of the oldest ones."""

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.fsync import fsync
from slipway.predictions import parquet
from slipway.predictions.reader import lines, parsed
from slipway.predictions.record import PredictionRecord
from slipway.predictions.segment import CLOSED, COMPACTED

_NEEDED = {name for name, field in PredictionRecord.model_fields.items() if field.is_required()}


@dataclass(frozen=True)
class Compacted:
    """The counts of a compaction."""

    segments: int
    records: int
    faults: tuple[str, ...] = ()
    """Segments that were left unchanged, and why."""


@dataclass(frozen=True)
class Retained:
    """The counts of what the retention limits deleted."""

    segments: int
    records: int


def compact(folder: Path, *, seconds: float = 60.0) -> Compacted:
    """Convert segments that were closed more than `seconds` ago to Parquet.

    A kill at any point neither loses nor duplicates a record. Of two concurrent calls, one converts
    each segment.

    Raises:
        OSError: the disk is full, dead or refuses.
    """
    segments = count = 0
    faults = []
    for file in sorted(folder.glob(f"*{CLOSED}")):
        try:
            with file.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not file.exists() or time.time() - file.stat().st_mtime < seconds:
                    continue
                count += _compact(file)
                segments += 1
        except (FileNotFoundError, BlockingIOError):
            continue
        except ValueError as error:
            faults.append(str(error))
    return Compacted(segments=segments, records=count, faults=tuple(faults))


def retain(folder: Path, *, days: float, bytes: int) -> Retained:
    """Delete the oldest compacted segments by age and by total size.

    Segments whose last record is older than `days` are deleted, then more until all closed and
    compacted segments take at most `bytes`.

    Raises:
        OSError: the disk is dead or refuses.
    """
    limit = time.time() - days * 86400
    held, size = [], 0
    for file in folder.glob(f"*{CLOSED}"):
        size += _size(file)
    for file in folder.glob(f"*{COMPACTED}"):
        count, first, last = parquet.bounds(file)
        held.append((last, first, _size(file), count, file))
        size += _size(file)
    segments = records = 0
    for last, _, each, count, file in sorted(held):
        if last >= limit and size <= bytes:
            continue
        file.unlink(missing_ok=True)
        segments, records, size = segments + 1, records + count, size - each
    if segments:
        fsync(folder)
    return Retained(segments=segments, records=records)


def _compact(file: Path) -> int:
    final = file.with_name(file.name.removesuffix(CLOSED) + COMPACTED)
    count = 0
    # An existing file is complete: an earlier call was stopped between the last two steps.
    if not final.exists():
        new = final.with_name(final.name + ".new")
        try:
            count = parquet.write(new, _records(file))
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        new.rename(final)
        fsync(file.parent)
    file.unlink()
    return count


def _records(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the records of a segment with the lengths of their lines.

    Raises:
        ValueError: a line is not a prediction record; the segment must then be kept.
    """
    segment = int(file.name[:8], 16)
    for offset, line in lines(file):
        record = parsed(line, segment=segment, offset=offset)
        missing = "its id" if record is None else ", ".join(sorted(_NEEDED - record.keys()))
        if record is None or missing:
            raise ValueError(f"{file.name}, byte {offset}: a prediction record lacks {missing}")
        yield record, len(line)


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return 0
