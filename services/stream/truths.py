"""What turned out to be true as a source: each truth as it was said, also when replaced since."""

import logging
from pathlib import Path

from services.stream.messages import Item, Kind, of_truth
from services.stream.position import Position
from slipway.predictions.feedback import FILE, FeedbackStore

log = logging.getLogger("slipway.stream")


class TruthSource:
    """The order is that in which the truths were committed."""

    kind: Kind = "truths"

    def __init__(self, folder: Path, position: Position, *, since: float | None = None) -> None:
        self.folder, self.position, self.since = folder, position, since
        self._store: FeedbackStore | None = None
        self.waiting = 0
        self.oldest: float | None = None
        """When the first of those that wait was said, Unix time."""

    def look(self) -> int:
        """Find what was said. None is ever lost: truths are kept."""
        if not (self.folder / FILE).exists():
            return 0
        if self._store is None:
            self._store = FeedbackStore(self.folder)
        last = self._store.last_number()
        if last < self.position.truth:
            # Restored from a backup: what it holds was said, and sent, before.
            log.warning("the truths end at %d, not at %d", last, self.position.truth)
            self.position.truth = last
        self.waiting = last - self.position.truth
        head = self._store.said_after(self.position.truth, limit=1)
        self.oldest = head[0].received if head else None
        return 0

    def batch(self, *, records: int, bytes: int) -> list[Item]:
        """The next ones, of at least one truth; more only within both limits."""
        if self._store is None or not self.waiting:
            return []
        found: list[Item] = []
        room = bytes
        for said in self._store.said_after(self.position.truth, limit=records):
            wanted = self.since is None or said.received >= self.since
            item = Item("", said.number, of_truth(said) if wanted else None)
            room -= len(item.message.value) if item.message else 0
            if found and room < 0:
                break
            found.append(item)
        return found

    def settle(self, item: Item) -> None:
        """It is confirmed, or passed over."""
        self.position.truth = item.number
