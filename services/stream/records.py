"""The prediction log as a source: its segments, each from where it was left."""

import logging
import time
from pathlib import Path

from services.stream.messages import Item, Kind, of_record
from services.stream.position import Place, Position
from slipway.predictions import follow, ids
from slipway.predictions.reader import seconds

log = logging.getLogger("slipway.stream")
# A segment whose file somebody removed is written anew by its writer, which looks once a second.
GRACE_SECONDS = 10.0


class RecordSource:
    """The oldest record that waits says which segment comes first; within one the order stays."""

    kind: Kind = "predictions"

    def __init__(self, folder: Path, position: Position, *, since: float | None = None) -> None:
        self.folder, self.position, self.since = folder, position, since
        # The first record that waits of each segment, with the place behind which it was found.
        self._heads: dict[str, tuple[int, float]] = {}
        self._missed: dict[str, float] = {}
        self._compacted: set[str] = set()

    def look(self) -> int:
        """Find what was added. How many records went before they were sent, so far as known."""
        there = follow.names(self.folder)
        lost = sum(self._gone(name) for name in self._known() - there)
        for name in there - self.position.done:
            self._missed.pop(name, None)
            self._follow(name, self.position.segments.setdefault(name, Place()))
        return lost

    def batch(self, *, records: int, bytes: int) -> list[Item]:
        """The next ones, of at least one record; more only within both limits."""
        found: list[Item] = []
        room = bytes
        for name in sorted(self._heads, key=lambda each: self._heads[each][1]):
            for entry in follow.entries(self.folder, name, after=self.position.segments[name].last):
                item = self._item(name, entry)
                room -= len(item.message.value) if item.message else 0
                if found and (room < 0 or len(found) >= records):
                    return found
                found.append(item)
        return found

    def settle(self, item: Item) -> None:
        """It is confirmed, or passed over."""
        place = self.position.segments[item.place]
        place.last, place.settled = item.number, place.settled + 1

    @property
    def waiting(self) -> int:
        return sum(place.waiting for place in self.position.segments.values())

    @property
    def oldest(self) -> float | None:
        """When the first of those that wait was answered, Unix time."""
        return min((at for _, at in self._heads.values()), default=None)

    def _known(self) -> set[str]:
        return self.position.done | self.position.segments.keys()

    def _item(self, name: str, entry: follow.Entry) -> Item:
        record = entry.record
        if record is None:
            return Item(name, entry.offset, None, damaged=True)
        if self.since is not None and seconds(record["time"]) < self.since:
            return Item(name, entry.offset, None)
        try:
            return Item(name, entry.offset, of_record(record))
        except KeyError:
            return Item(name, entry.offset, None, damaged=True)

    def _follow(self, name: str, place: Place) -> None:
        # Asked first: a segment that is closed then grows no more.
        closed = not follow.is_open(self.folder, name)
        self._count(name, place)
        head = self._heads.get(name)
        if head is not None and head[0] == place.last:
            return
        self._heads.pop(name, None)
        entry = next(follow.entries(self.folder, name, after=place.last), None)
        if entry is not None:
            at = _written_at(entry)
            self._heads[name] = (place.last, at)
        elif closed and follow.exists(self.folder, name):
            del self.position.segments[name]
            self._compacted.discard(name)
            self.position.done.add(name)

    def _count(self, name: str, place: Place) -> None:
        if name in self._compacted:
            return
        whole = follow.compacted(self.folder, name)
        if whole is None:
            number, place.seen = follow.count(self.folder, name, after=place.seen)
            place.known += number
        else:
            place.known = whole
            self._compacted.add(name)

    def _gone(self, name: str) -> int:
        """Records lost with a segment that is there no more; asked again for a while."""
        if follow.exists(self.folder, name):
            self._missed.pop(name, None)
            return 0
        if time.monotonic() - self._missed.setdefault(name, time.monotonic()) < GRACE_SECONDS:
            return 0
        del self._missed[name]
        self._heads.pop(name, None)
        self._compacted.discard(name)
        self.position.done.discard(name)
        place = self.position.segments.pop(name, None)
        if place is None or not place.waiting:
            return 0
        log.error(
            "segment %s was deleted before %d of its %d records were sent",
            *(name, place.waiting, place.known),
        )
        return place.waiting


def _written_at(entry: follow.Entry) -> float:
    """Unix time; of a damaged line nobody knows, and it can wait."""
    return ids.milliseconds(entry.record["id"]) / 1000 if entry.record else time.time()
