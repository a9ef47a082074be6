"""The size of a batch in memory."""

from collections.abc import Mapping

from slipway.contract.record import Record
from slipway.media import Image, Media

# Limits in rows and bytes; a single row may be larger.
BATCH_ROWS, BATCH_BYTES = 1000, 8 * 2**20
# For rows with media; predictions may hold media as well, of any size.
MEDIA_ROWS = 32
# Decoded pictures. The cache of decoded media holds 64 MB, so a model finds its pictures in it.
PICTURE_BYTES = 48 * 2**20


class BatchSize:
    """Counts the rows of a batch until it is full."""

    def __init__(self, media: Mapping[str, Media], rows: int) -> None:
        self._pictures = [name for name, mark in media.items() if isinstance(mark, Image)]
        self._media, self._most = media, rows
        self.clear()

    def clear(self) -> None:
        """Begin the next batch."""
        self.rows = self._bytes = self._decoded = 0

    def add(self, record: object, bytes: int) -> None:
        """Count one more row, which was read from as many bytes."""
        self.rows += 1
        self._bytes += bytes
        if self._pictures and isinstance(record, Record):
            self._decoded += sum(self._picture_bytes(record, name) for name in self._pictures)

    @property
    def full(self) -> bool:
        return (
            self.rows >= self._most or self._bytes >= BATCH_BYTES or self._decoded >= PICTURE_BYTES
        )

    def _picture_bytes(self, record: Record, name: str) -> int:
        value = getattr(record, name)
        pictures = value if isinstance(value, list) else [value] if value else []
        facts = [self._media[name].describe(each) for each in pictures]
        return sum(3 * each["width"] * each["height"] for each in facts)
