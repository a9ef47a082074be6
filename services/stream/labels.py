"""The feedback store as a source: every label, including those replaced later."""

import logging
from pathlib import Path

from services.stream.messages import Item, Kind, label_message
from services.stream.position import Position
from slipway.predictions.feedback_store import FILE, FeedbackStore

log = logging.getLogger("slipway.stream")


class LabelSource:
    """Yields the labels in the order in which they were committed."""

    kind: Kind = "labels"

    def __init__(self, folder: Path, position: Position, *, since: float | None = None) -> None:
        self.folder, self.position, self.since = folder, position, since
        self._store: FeedbackStore | None = None
        self.waiting = 0
        self.oldest: float | None = None
        """When the oldest unsent label was received, Unix time."""

    def scan(self) -> int:
        """Find new labels; return 0, since labels are never deleted and so never lost."""
        if not (self.folder / FILE).exists():
            return 0
        if self._store is None:
            self._store = FeedbackStore(self.folder)
        last = self._store.last_number()
        if last < self.position.label:
            # Restored from a backup: its labels were received, and sent, before.
            log.warning("the labels end at number %d, not at %d", last, self.position.label)
            self.position.label = last
        self.waiting = last - self.position.label
        head = self._store.said_after(self.position.label, limit=1)
        self.oldest = head[0].received if head else None
        return 0

    def batch(self, *, records: int, bytes: int) -> list[Item]:
        """Return the next items: at least one label, more only within both limits."""
        if self._store is None or not self.waiting:
            return []
        items: list[Item] = []
        room = bytes
        for event in self._store.said_after(self.position.label, limit=records):
            wanted = self.since is None or event.received >= self.since
            item = Item("", event.number, label_message(event) if wanted else None)
            room -= len(item.message.value) if item.message else 0
            if items and room < 0:
                break
            items.append(item)
        return items

    def settle(self, item: Item) -> None:
        """Advance the position past an item that is confirmed or skipped."""
        self.position.label = item.number
