"""Following the log: what was added to each segment since somebody last looked.

A place in a segment is the offset of the last record that was taken from it. It stays true when
the segment is closed and compacted: the ids of the records hold their offsets.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.predictions.reader import lines, parsed
from slipway.predictions.segment import CLOSED, COMPACTED, OPEN

START = -1
"""Before the first record."""


@dataclass(frozen=True)
class Entry:
    offset: int
    record: dict[str, Any] | None
    """None of a line that is damaged."""


def names(folder: Path) -> set[str]:
    """The segments that are there, in whatever form.

    One that moves on to its next form meanwhile may be missed: who misses one asks `exists`.
    """
    found = set()
    for suffix in (OPEN, CLOSED, COMPACTED):
        found |= {each.name.removesuffix(suffix) for each in folder.glob(f"*{suffix}")}
    return found


def exists(folder: Path, name: str) -> bool:
    # In the order in which a segment moves on, so that one moving meanwhile is not missed.
    return any((folder / (name + suffix)).exists() for suffix in (OPEN, CLOSED, COMPACTED))


def is_open(folder: Path, name: str) -> bool:
    """Whether records may still come: what is read after False was said is all there is."""
    return (folder / (name + OPEN)).exists()


def entries(folder: Path, name: str, *, after: int) -> Iterator[Entry]:
    """What stands behind the offset `after`, in the order of writing; nothing of a segment that is
    gone.

    A record that is being written is left for the next time.
    """
    for suffix in (COMPACTED, OPEN, CLOSED, COMPACTED):
        file = folder / (name + suffix)
        with suppress(FileNotFoundError):
            yield from _compacted(file, after) if suffix == COMPACTED else _written(file, after)
            # Once opened, a file stays readable: nothing can have been told twice.
            return


def count(folder: Path, name: str, *, after: int) -> tuple[int, int]:
    """How many records stand behind the offset, and the offset of the last; without parsing."""
    number, last = 0, after
    for suffix in (OPEN, CLOSED):
        with suppress(FileNotFoundError):
            for offset, _ in lines(folder / (name + suffix), start=max(after, 0)):
                if offset > after:
                    number, last = number + 1, offset
            return number, last
    return number, last


def compacted(folder: Path, name: str) -> int | None:
    """How many records there are in all; None of a segment that is not compacted."""
    file = folder / (name + COMPACTED)
    if not file.exists():
        return None
    # Takes 90 MB of memory, which who keeps up with the log is spared.
    from slipway.predictions import parquet

    with suppress(FileNotFoundError):
        return parquet.bounds(file)[0]
    return None


def _compacted(file: Path, after: int) -> Iterator[Entry]:
    if not file.exists():
        raise FileNotFoundError(file)
    from slipway.predictions import parquet

    for offset, record in parquet.after(file, after):
        yield Entry(offset, record)


def _written(file: Path, after: int) -> Iterator[Entry]:
    segment = int(file.name[:8], 16)
    for offset, line in lines(file, start=max(after, 0)):
        if offset > after:
            yield Entry(offset, parsed(line, segment=segment, offset=offset))
