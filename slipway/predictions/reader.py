"""Read the prediction log: a record by its id, or all as a stream; recover after killed writers."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from slipway.fsync import fsync
from slipway.predictions import ids
from slipway.predictions.record import is_whole
from slipway.predictions.segment import (
    BLOCK,
    CLOSED,
    COMPACTED,
    NEW,
    OPEN,
    locked,
)


@dataclass(frozen=True)
class Recovered:
    """The counts of what was recovered from writers that died."""

    segments: int
    """Segments with records; empty ones are removed."""
    records: int
    torn: int
    """Lines that were cut off or damaged, and overwritten with spaces."""


def find(folder: Path, id: str) -> dict[str, Any] | None:
    """Return the record of a prediction; None if there is none, or it was deleted.

    Raises:
        MalformedId: the text is not a UUID.
        NotLogged: the id was given while the log was down.
    """
    id = id.lower()
    place = ids.place(id)
    if place is None:
        return None
    name = f"{place.segment:08x}"
    # In the order in which a segment is renamed, so that one renamed meanwhile is not missed.
    for suffix in (OPEN, CLOSED):
        record = _record_at(folder / (name + suffix), place.offset)
        if record is not None and record["id"] == id:
            return record
    file = folder / (name + COMPACTED)
    if not file.exists():
        return None
    # pyarrow takes 90 MB of memory; a worker without compacted segments never needs it.
    from slipway.predictions import parquet

    with suppress(FileNotFoundError):
        return parquet.find(file, id)
    return None


def records(
    folder: Path,
    *,
    since: float | None = None,
    until: float | None = None,
    project: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield every record from `since` to before `until`, Unix seconds, also of open segments.

    Segments come in the order of their first records, records in the order of writing. Memory holds
    a few hundred records at a time.
    """
    for name in _names_by_start(folder, since):
        yield from _segment_records(folder, name, since=since, until=until, project=project)


def recover(folder: Path) -> Recovered:
    """Close the segments whose writers died; those of running writers are left alone.

    Raises:
        OSError: the disk is full, dead or read-only.
    """
    segments = kept = torn = 0
    for file in sorted(folder.glob(f"*{NEW}")):
        # A new segment without a record, or a copy whose original still exists.
        with suppress(FileNotFoundError, BlockingIOError):
            held = locked(file, os.O_RDWR)
            file.unlink(missing_ok=True)
            os.close(held)
    for file in sorted(folder.glob(f"*{OPEN}")):
        try:
            held = locked(file, os.O_RDWR)
        except (FileNotFoundError, BlockingIOError):
            continue
        try:
            if not _same_file(file, held):
                continue
            name = file.name.removesuffix(OPEN)
            if any((folder / (name + each)).exists() for each in (CLOSED, COMPACTED)):
                # Its writer had saved a copy, and died before it could remove this file.
                file.unlink()
                continue
            whole, damaged = _mend(held, int(name, 16))
            os.fsync(held)
            kept, torn = kept + whole, torn + damaged
            if whole:
                file.rename(folder / (name + CLOSED))
                segments += 1
            else:
                file.unlink()
        finally:
            os.close(held)
    if segments:
        fsync(folder)
    return Recovered(segments=segments, records=kept, torn=torn)


def lines(file: Path, *, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines with their offsets, from the offset `start` to the unwritten rest.

    The rest begins where a line would begin with a zero byte. Zero bytes within a line are damage.

    Raises:
        FileNotFoundError: the file is not there.
    """
    with file.open("rb") as stream:
        stream.seek(start)
        offset, rest = start, b""
        while block := stream.read(BLOCK):
            *whole, rest = (rest + block).split(b"\n")
            for each in whole:
                if each.startswith(b"\0"):
                    return
                if each.strip():
                    yield offset, each
                offset += len(each) + 1
            if rest.startswith(b"\0") or (b"\0" in rest and len(rest) > BLOCK):
                return


def parsed(line: bytes, *, segment: int, offset: int) -> dict[str, Any] | None:
    """Return the record of a line; None if it is damaged or its id names another place."""
    if not is_whole(line.rstrip(b"\n")):
        return None
    try:
        record = from_json(line)
        place = ids.place(record["id"])
    except (ValueError, LookupError, TypeError):
        return None
    if place is None or (place.segment, place.offset) != (segment, offset):
        return None
    record = dict(record)
    record.pop("crc32", None)
    return _with_rows(record)


def _with_rows(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with its outputs as rows; those of a large batch are written as columns."""
    columns = record.get("outputs")
    if isinstance(columns, dict):
        rows = zip(*columns.values(), strict=True)
        record["outputs"] = [dict(zip(columns, row, strict=True)) for row in rows]
    return record


def seconds(time: str) -> float:
    """Return the Unix time of a record's `time`."""
    return datetime.fromisoformat(time).timestamp()


def _record_at(file: Path, offset: int) -> dict[str, Any] | None:
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            if stream.read(1) != b"{":
                return None
            line = b"{" + stream.readline()
    except FileNotFoundError:
        return None
    return parsed(line, segment=int(file.name[:8], 16), offset=offset)


def _names_by_start(folder: Path, since: float | None) -> list[str]:
    """Return the segments that may hold records from `since`, by their first record."""
    starts: dict[str, float] = {}
    for suffix in (OPEN, CLOSED, COMPACTED):
        for file in folder.glob(f"*{suffix}"):
            with suppress(FileNotFoundError):
                # A closed file is not older than its records; the time of an open one may be.
                if since is not None and suffix != OPEN and file.stat().st_mtime < since:
                    continue
                start = _start(file)
                if start is not None:
                    starts.setdefault(file.name.partition(".")[0], start)
    return sorted(starts, key=lambda name: (starts[name], name))


def _start(file: Path) -> float | None:
    if file.name.endswith(COMPACTED):
        from slipway.predictions import parquet

        count, first, _ = parquet.bounds(file)
        return first if count else None
    segment = int(file.name[:8], 16)
    for offset, line in lines(file):
        record = parsed(line, segment=segment, offset=offset)
        if record is not None:
            return seconds(record["time"])
    return None


def _segment_records(
    folder: Path, name: str, *, since: float | None, until: float | None, project: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the records of one segment.

    Parquet comes first: it is complete, while the lines may be about to be deleted.
    """
    yielded = 0
    # A segment that is renamed meanwhile is found under its next name.
    for suffix in (COMPACTED, OPEN, CLOSED, COMPACTED):
        file = folder / (name + suffix)
        try:
            if suffix == COMPACTED:
                if not file.exists():
                    continue
                from slipway.predictions import parquet

                yield from parquet.records(file, since=since, until=until, project=project)
                return
            segment = int(name, 16)
            for offset, line in lines(file):
                record = parsed(line, segment=segment, offset=offset)
                if record is None or (project is not None and record["project"] != project):
                    continue
                if _within(record, since, until):
                    yielded += 1
                    yield record
            return
        except FileNotFoundError:
            # Once opened, a file stays readable: nothing can have been yielded twice.
            assert yielded == 0
    raise FileNotFoundError(errno.ENOENT, "removed while it was read", str(folder / name))


def _within(record: dict[str, Any], since: float | None, until: float | None) -> bool:
    if since is None and until is None:
        return True
    at = seconds(record["time"])
    return (since is None or at >= since) and (until is None or at < until)


def _same_file(file: Path, held: int) -> bool:
    """Return whether the path still names the open file; its writer may have closed it."""
    try:
        found, ours = file.stat(), os.fstat(held)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)


def _mend(file: int, segment: int) -> tuple[int, int]:
    """Blank out damaged lines, cut off the unused rest; return the numbers of whole and damaged.

    After a power failure any page may be missing. The ids hold the offsets, so damaged lines are
    overwritten with spaces instead of being removed.
    """
    whole = torn = end = 0
    with os.fdopen(os.dup(file), "r+b") as stream:
        used = _used(stream.fileno())
        stream.seek(0)
        while (offset := stream.tell()) < used:
            line = stream.readline(used - offset)
            if line.endswith(b"\n") and parsed(line, segment=segment, offset=offset):
                whole, end = whole + 1, offset + len(line)
            elif line.strip():
                torn += 1
                os.pwrite(file, b" " * (len(line) - 1) + b"\n", offset)
        stream.truncate(end)
    return whole, torn


def _used(file: int) -> int:
    """Return the offset behind the last byte that is not zero."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - BLOCK)
        written = os.pread(file, end - start, start).rstrip(b"\0")
        if written:
            return start + len(written)
        end = start
    return 0
