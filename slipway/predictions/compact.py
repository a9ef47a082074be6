"""Closed segments into Parquet, and the oldest of those out, when there are too many."""

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.predictions import parquet
from slipway.predictions.reader import lines, parsed
from slipway.predictions.record import PredictionRecord
from slipway.predictions.segment import CLOSED, COMPACTED, sync_folder

_NEEDED = {name for name, field in PredictionRecord.model_fields.items() if field.is_required()}


@dataclass(frozen=True)
class Compacted:
    segments: int
    records: int
    faults: tuple[str, ...] = ()
    """Segments that were left as they are, and why."""


@dataclass(frozen=True)
class Retained:
    """What was deleted."""

    segments: int
    records: int


def compact(folder: Path, *, seconds: float = 60.0) -> Compacted:
    """Turn segments that were closed more than `seconds` ago into Parquet.

    Killed at any point it neither loses nor doubles a record; called twice at once, each segment
    is done by one.

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
    """Delete the oldest compacted segments: those whose last record is older than `days`, and
    more, while all that is closed takes more than `bytes`.

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
        sync_folder(folder)
    return Retained(segments=segments, records=records)


def _compact(file: Path) -> int:
    final = file.with_name(file.name.removesuffix(CLOSED) + COMPACTED)
    count = 0
    # One that is there is complete: somebody was stopped between the last two steps.
    if not final.exists():
        new = final.with_name(final.name + ".new")
        try:
            count = parquet.write(new, _records(file))
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        new.rename(final)
        sync_folder(file.parent)
    file.unlink()
    return count


def _records(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """With their lengths.

    Raises:
        ValueError: a line is no prediction record; nothing may be thrown away then.
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
