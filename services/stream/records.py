"""The prediction log as a source: its segments, each read from its last position."""

import logging
import time
from pathlib import Path

from services.stream.messages import Item, Kind, prediction_message
from services.stream.position import Position, SegmentPosition
from slipway.predictions import follow, ids
from slipway.predictions.reader import seconds

log = logging.getLogger("slipway.stream")
# The writer recreates a segment whose file was removed; it checks once a second.
GRACE_SECONDS = 10.0


class RecordSource:
    """Yields the segments by their oldest unsent record; within a segment the order is kept."""

    kind: Kind = "predictions"

    def __init__(self, folder: Path, position: Position, *, since: float | None = None) -> None:
        self.folder, self.position, self.since = folder, position, since
        # The time of the first unsent record of each segment, with the offset before it.
        self._heads: dict[str, tuple[int, float]] = {}
        self._missed: dict[str, float] = {}
        self._compacted: set[str] = set()

    def scan(self) -> int:
        """Find new records; return how many known records were deleted before they were sent."""
        present = follow.names(self.folder)
        lost = sum(self._lost_with(name) for name in self._known() - present)
        for name in present - self.position.done:
            self._missed.pop(name, None)
            self._follow(name, self.position.segments.setdefault(name, SegmentPosition()))
        return lost

    def batch(self, *, records: int, bytes: int) -> list[Item]:
        """Return the next items: at least one record, more only within both limits."""
        items: list[Item] = []
        room = bytes
        for name in sorted(self._heads, key=lambda each: self._heads[each][1]):
            for entry in follow.entries(self.folder, name, after=self.position.segments[name].last):
                item = self._item(name, entry)
                room -= len(item.message.value) if item.message else 0
                if items and (room < 0 or len(items) >= records):
                    return items
                items.append(item)
        return items

    def settle(self, item: Item) -> None:
        """Advance the position past an item that is confirmed or skipped."""
        position = self.position.segments[item.segment]
        position.last, position.settled = item.number, position.settled + 1

    @property
    def waiting(self) -> int:
        return sum(position.waiting for position in self.position.segments.values())

    @property
    def oldest(self) -> float | None:
        """When the oldest unsent record was written, Unix time."""
        return min((at for _, at in self._heads.values()), default=None)

    def _known(self) -> set[str]:
        return self.position.done | self.position.segments.keys()

    def _item(self, name: str, entry: follow.SegmentLine) -> Item:
        record = entry.record
        if record is None:
            return Item(name, entry.offset, None, damaged=True)
        if self.since is not None and seconds(record["time"]) < self.since:
            return Item(name, entry.offset, None)
        try:
            return Item(name, entry.offset, prediction_message(record))
        except KeyError:
            return Item(name, entry.offset, None, damaged=True)

    def _follow(self, name: str, position: SegmentPosition) -> None:
        # Checked first: a segment that is closed now no longer grows.
        closed = not follow.is_open(self.folder, name)
        self._count(name, position)
        head = self._heads.get(name)
        if head is not None and head[0] == position.last:
            return
        self._heads.pop(name, None)
        entry = next(follow.entries(self.folder, name, after=position.last), None)
        if entry is not None:
            at = _written_at(entry)
            self._heads[name] = (position.last, at)
        elif closed and follow.exists(self.folder, name):
            del self.position.segments[name]
            self._compacted.discard(name)
            self.position.done.add(name)

    def _count(self, name: str, position: SegmentPosition) -> None:
        if name in self._compacted:
            return
        total = follow.compacted(self.folder, name)
        if total is None:
            number, position.seen = follow.count(self.folder, name, after=position.seen)
            position.known += number
        else:
            position.known = total
            self._compacted.add(name)

    def _lost_with(self, name: str) -> int:
        """Return the records lost with a deleted segment; 0 until it is missing for a while."""
        if follow.exists(self.folder, name):
            self._missed.pop(name, None)
            return 0
        if time.monotonic() - self._missed.setdefault(name, time.monotonic()) < GRACE_SECONDS:
            return 0
        del self._missed[name]
        self._heads.pop(name, None)
        self._compacted.discard(name)
        self.position.done.discard(name)
        position = self.position.segments.pop(name, None)
        if position is None or not position.waiting:
            return 0
        log.error(
            "segment %s was deleted before %d of its %d records were sent",
            *(name, position.waiting, position.known),
        )
        return position.waiting


def _written_at(entry: follow.SegmentLine) -> float:
    """Return the entry's Unix time; a damaged line has none and counts as written now."""
    return ids.milliseconds(entry.record["id"]) / 1000 if entry.record else time.time()
