"""Progress of batch scoring: rows, bytes, speed and remaining time."""

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from slipway.files import replace_text

FILE = "progress.json"
EVERY_SECONDS = 0.5


class Progress(BaseModel):
    """Progress so far. Rows and bytes of earlier runs count as done, but not for the speed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(ge=0)
    bad: int = Field(ge=0, description="Rows with an error")
    bytes: int = Field(ge=0, description="Bytes of the source read so far")
    bytes_total: int = Field(ge=0)
    rows_per_second: float | None = Field(default=None, ge=0)
    seconds_left: float | None = Field(default=None, ge=0)


class Meter:
    """Measures progress and publishes it at most twice a second, and once at the end."""

    def __init__(
        self, *, work: Path, bytes_total: int, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self.rows = self.bad = self.bytes = 0
        self._file, self._total = work / FILE, bytes_total
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._before = (0, 0)
        self._published = float("-inf")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def resume(self, *, rows: int, bad: int, bytes: int) -> None:
        """Set the totals of earlier runs, and restart the clock."""
        self.rows, self.bad, self.bytes = rows, bad, bytes
        self._before = (rows, bytes)
        self._started = time.monotonic()

    def advance(self, *, rows: int, bad: int, bytes: int) -> None:
        self.rows, self.bad, self.bytes = self.rows + rows, self.bad + bad, bytes
        if time.monotonic() - self._published >= EVERY_SECONDS:
            self.publish()

    def publish(self) -> None:
        now = self.now()
        replace_text(self._file, now.model_dump_json())
        if self._on_progress:
            self._on_progress(now)
        # Taken last: with a slow disk the next update would otherwise come within half a second.
        self._published = time.monotonic()

    def now(self) -> Progress:
        rows, read = self.rows - self._before[0], self.bytes - self._before[1]
        # Earlier there is no useful estimate: the first batch includes one-time costs.
        measured = self.seconds > 0.1 and rows > 0
        return Progress(
            rows=self.rows,
            bad=self.bad,
            bytes=self.bytes,
            bytes_total=self._total,
            rows_per_second=rows / self.seconds if measured else None,
            seconds_left=max(self._total - self.bytes, 0) / read * self.seconds
            if measured and read > 0
            else None,
        )
