"""Incremental reading of the prediction log: each record once, also while segments are renamed."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.predictions import ids
from slipway.predictions.reader import lines, parsed
from slipway.predictions.segment import CLOSED, COMPACTED, OPEN

log = logging.getLogger("slipway.monitor")

NAME = re.compile(r"[0-9a-f]{8}")
WHOLE = 2**ids.OFFSET_BITS
Cursor = dict[str, int]
"""By segment: the offset of the first unread record; WHOLE for a segment that is done."""


class Follower:
    """A reader that continues where it stopped: a round reads what was written since the last.

    A segment that cannot be read is logged once and skipped; the others are still read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cursor: Cursor = {}
        self.faults: set[str] = set()
        """Segments that could not be read."""

    def advance(self, *, since: float) -> Iterator[dict[str, Any]]:
        """Yield unread records; segments not modified since Unix time `since` are skipped."""
        names = self._names(since)
        for name in sorted(names):
            yield from self._segment(name, self.cursor, WHOLE)
        # Deleted segments are forgotten; segments that are only too old stay marked as read.
        there = {file.name[:8] for file in self.folder.glob("*.*")} if self.cursor else set()
        self.cursor = {name: at for name, at in self.cursor.items() if name in there}

    def again(self, *, since: float) -> Iterator[dict[str, Any]]:
        """Yield what `advance` has yielded already."""
        until = dict(self.cursor)
        for name in sorted(self._names(since) & until.keys()):
            yield from self._segment(name, {}, until[name])

    def _names(self, since: float) -> set[str]:
        found = set()
        for file in self.folder.glob("*.*"):
            name, suffix = file.name[:8], file.name[8:]
            if not NAME.fullmatch(name) or suffix not in (OPEN, CLOSED, COMPACTED):
                continue
            if name in self.faults:
                continue
            try:
                # A closed file is not older than its records; the time of an open one may be.
                if suffix == OPEN or file.stat().st_mtime >= since:
                    found.add(name)
            except FileNotFoundError:
                found.add(name)
        return found

    def _segment(self, name: str, cursor: Cursor, until: int) -> Iterator[dict[str, Any]]:
        """Yield the records of a segment from its cursor to before the offset `until`."""
        try:
            for suffix in (COMPACTED, OPEN, CLOSED, COMPACTED):
                start = cursor.get(name, 0)
                if start >= until:
                    return
                file = self.folder / (name + suffix)
                if not file.exists():
                    continue
                # A file that is renamed after this check stays readable once it is open, or is
                # found under its next name.
                try:
                    yield from self._file(file, cursor, until)
                    return
                except FileNotFoundError:
                    continue
        except Exception as error:  # a foreign or damaged file: pyarrow raises many kinds
            self.faults.add(name)
            log.warning("%s in the prediction log cannot be read: %s", name, error)

    def _file(self, file: Path, cursor: Cursor, until: int) -> Iterator[dict[str, Any]]:
        name = file.name[:8]
        start = cursor.get(name, 0)
        compacted = file.name.endswith(COMPACTED)
        found = _parquet_records(file) if compacted else _line_records(file, start)
        for offset, record in found:
            if start <= offset < until:
                cursor[name] = offset + 1
                yield record
        if not file.name.endswith(OPEN) and until == WHOLE:
            cursor[name] = WHOLE


def _line_records(file: Path, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
    segment = int(file.name[:8], 16)
    for offset, line in lines(file):
        if offset < start:
            continue
        record = parsed(line, segment=segment, offset=offset)
        if record is not None:
            yield offset, record


def _parquet_records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    from slipway.predictions import parquet

    for record in parquet.records(file, since=None, until=None, project=None):
        place = ids.place(record["id"])
        if place is not None:
            yield place.offset, record
