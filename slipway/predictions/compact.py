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
from slipway.predictions.own_clock import own_time
from slipway.predictions.reader import lines, parsed
from slipway.predictions.record import PredictionRecord
from slipway.predictions.segment import CLOSED, COMPACTED

DAMAGED = ".damaged"
_NEEDED = {name for name, field in PredictionRecord.model_fields.items() if field.is_required()}


@dataclass(frozen=True)
class Compacted:
    """The counts of a compaction."""

    segments: int
    records: int
    damaged: int = 0
    """Lines that are no record; each was appended to the file `SEGMENT.damaged`."""


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
    segments = count = damaged = 0
    for file in sorted(folder.glob(f"*{CLOSED}")):
        try:
            with file.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not file.exists() or time.time() - file.stat().st_mtime < seconds:
                    continue
                kept, bad = _compact(file)
                count, damaged, segments = count + kept, damaged + bad, segments + 1
        except (FileNotFoundError, BlockingIOError):
            continue
    return Compacted(segments=segments, records=count, damaged=damaged)


def retain(folder: Path, *, days: float, bytes: int) -> Retained:
    """Delete the oldest compacted segments by age and by total size.

    Segments whose last record is older than `days` are deleted, then more until all closed and
    compacted segments take at most `bytes`. Age is measured by the folder's own clock, which a jump
    of the machine's clock does not move (`slipway/predictions/own_clock.py`).

    Raises:
        OSError: the disk is dead or refuses.
    """
    limit = own_time(folder) - days * 86400
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


def _compact(file: Path) -> tuple[int, int]:
    """Convert one segment; return the numbers of its records and of its damaged lines."""
    name = file.name.removesuffix(CLOSED)
    final = file.with_name(name + COMPACTED)
    count = 0
    bad: list[bytes] = []
    # An existing file is complete: an earlier call was stopped between the last two steps.
    if not final.exists():
        new = final.with_name(final.name + ".new")
        try:
            count = parquet.write(new, _records(file, bad))
            if bad:
                _save(bad, file.with_name(name + DAMAGED))
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        new.rename(final)
        fsync(file.parent)
    file.unlink()
    return count, len(bad)


def _records(file: Path, bad: list[bytes]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the records of a segment with the lengths of their lines; add other lines to `bad`."""
    segment = int(file.name[:8], 16)
    for offset, line in lines(file):
        record = parsed(line, segment=segment, offset=offset)
        if record is None or _NEEDED - record.keys():
            bad.append(line)
        else:
            yield record, len(line)


def _save(damaged: list[bytes], file: Path) -> None:
    with file.open("wb") as stream:
        stream.writelines(each + b"\n" for each in damaged)
        stream.flush()
        os.fsync(stream.fileno())


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return 0
