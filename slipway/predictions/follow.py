"""Follow the prediction log: read the records that were added to each segment since the last read.

A position in a segment is the offset of the last record that was read from it. It stays valid when
the segment is closed and compacted, since the ids of the records hold their offsets.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.predictions.reader import lines, parsed
from slipway.predictions.segment import CLOSED, COMPACTED, OPEN

START = -1
"""The offset before the first record."""


@dataclass(frozen=True)
class SegmentLine:
    """A line of a segment."""

    offset: int
    record: dict[str, Any] | None
    """None for a damaged line."""


def names(folder: Path) -> set[str]:
    """Return the names of the segments in the folder, in any form.

    A segment that is renamed to its next form meanwhile may be missed; `exists` does not miss it.
    """
    found = set()
    for suffix in (OPEN, CLOSED, COMPACTED):
        found |= {each.name.removesuffix(suffix) for each in folder.glob(f"*{suffix}")}
    return found


def exists(folder: Path, name: str) -> bool:
    """Return whether the segment is in the folder, in any form."""
    # In the order in which a segment is renamed, so that one renamed meanwhile is not missed.
    return any((folder / (name + suffix)).exists() for suffix in (OPEN, CLOSED, COMPACTED))


def is_open(folder: Path, name: str) -> bool:
    """Return whether records may still be added; after False, one more read gets the rest."""
    return (folder / (name + OPEN)).exists()


def entries(folder: Path, name: str, *, after: int) -> Iterator[SegmentLine]:
    """Yield the entries behind the offset `after` in the order of writing.

    A deleted segment yields nothing. A record that is being written is left for the next read.
    """
    for suffix in (COMPACTED, OPEN, CLOSED, COMPACTED):
        file = folder / (name + suffix)
        with suppress(FileNotFoundError):
            yield from _compacted(file, after) if suffix == COMPACTED else _written(file, after)
            # Once opened, a file stays readable: nothing can have been yielded twice.
            return


def count(folder: Path, name: str, *, after: int) -> tuple[int, int]:
    """Return the number of records behind the offset and the last one's offset, without parsing."""
    number, last = 0, after
    for suffix in (OPEN, CLOSED):
        with suppress(FileNotFoundError):
            for offset, _ in lines(folder / (name + suffix), start=max(after, 0)):
                if offset > after:
                    number, last = number + 1, offset
            return number, last
    return number, last


def compacted(folder: Path, name: str) -> int | None:
    """Return the number of records of a compacted segment; None for any other segment."""
    file = folder / (name + COMPACTED)
    if not file.exists():
        return None
    # pyarrow takes 90 MB of memory; a reader that keeps up with the log never needs it.
    from slipway.predictions import parquet

    with suppress(FileNotFoundError):
        return parquet.bounds(file)[0]
    return None


def _compacted(file: Path, after: int) -> Iterator[SegmentLine]:
    if not file.exists():
        raise FileNotFoundError(file)
    from slipway.predictions import parquet

    for offset, record in parquet.after(file, after):
        yield SegmentLine(offset, record)


def _written(file: Path, after: int) -> Iterator[SegmentLine]:
    segment = int(file.name[:8], 16)
    for offset, line in lines(file, start=max(after, 0)):
        if offset > after:
            yield SegmentLine(offset, parsed(line, segment=segment, offset=offset))
