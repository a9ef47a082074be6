"""Prediction ids, which hold the location of their record, so that no index is needed to find it.

An id is a UUID of version 8 (RFC 9562), from the left: 48 bits Unix milliseconds, 4 bits version,
12 bits counter, 2 bits variant, 32 bits name of the segment, 30 bits offset in it. Segment 0 stands
for no segment: the prediction was made while nothing could be logged, and the last 30 bits are
random.
"""

import re
from dataclasses import dataclass

OFFSET_BITS = 30
NOWHERE = 0
"""The segment in the ids of predictions that were not logged."""
COUNTS = 2**12

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class MalformedId(ValueError):
    """Raised when a text is not a UUID."""


class NotLogged(LookupError):
    """Raised when a prediction was made while the log was down, so that it has no record."""


@dataclass(frozen=True)
class Place:
    """The content of an id: when the prediction was made, and where its record lies."""

    milliseconds: int
    segment: int
    offset: int


def head(milliseconds: int) -> str:
    """Return the first 15 characters of an id; the counter follows."""
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-8"


def middle(segment: int) -> str:
    """Return the fourth group: the variant and the upper 14 bits of the segment's name."""
    return f"{0x8000 | segment >> 18:04x}"


def base(segment: int) -> int:
    """Return the last group of 48 bits, without the offset."""
    return (segment & 0x3FFFF) << OFFSET_BITS


def compose(*, milliseconds: int, count: int, segment: int, offset: int) -> str:
    """Return the id of a record."""
    tail = base(segment) | offset
    return f"{head(milliseconds)}{count:03x}-{middle(segment)}-{tail:012x}"


def milliseconds(id: str) -> int:
    """Return the Unix milliseconds of the prediction, for an id that `compose` made."""
    return int(id[:8] + id[9:13], 16)


def offset(id: str) -> int:
    """Return the offset of the record in its segment, for an id that `compose` made."""
    return int(id[-12:], 16) & (1 << OFFSET_BITS) - 1


def place(id: str) -> Place | None:
    """Return what the id holds; None for a UUID of another layout.

    Raises:
        MalformedId: the text is not a UUID.
        NotLogged: the id was given while the log was down.
    """
    if not _UUID.fullmatch(id):
        shown = id if len(id) <= 40 else id[:40] + "..."
        raise MalformedId(f"id: must be a UUID from a prediction's response, got {shown!r}")
    bits = int(id.replace("-", ""), 16)
    if bits >> 76 & 0xF != 8 or bits >> 62 & 0b11 != 0b10:
        return None
    found = Place(
        milliseconds=bits >> 80,
        segment=bits >> OFFSET_BITS & 0xFFFFFFFF,
        offset=bits & 2**OFFSET_BITS - 1,
    )
    if found.segment == NOWHERE:
        raise NotLogged(f"{id} was predicted while the log was down, so it was not logged")
    return found
