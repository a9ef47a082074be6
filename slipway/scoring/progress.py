"""How far a scoring has come, and for how long it will go on."""

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from slipway.files import replace_text

FILE = "progress.json"
EVERY_SECONDS = 0.5


class Progress(BaseModel):
    """Rows and bytes of earlier runs count as done, but not towards the speed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(ge=0)
    bad: int = Field(ge=0, description="Rows with an error")
    bytes: int = Field(ge=0, description="Of the source, read")
    bytes_total: int = Field(ge=0)
    rows_per_second: float | None = Field(default=None, ge=0)
    seconds_left: float | None = Field(default=None, ge=0)


class Meter:
    """Tells of progress at most twice a second, and once more at the end."""

    def __init__(
        self, *, work: Path, bytes_total: int, tell: Callable[[Progress], None] | None
    ) -> None:
        self.rows = self.bad = self.bytes = 0
        self._file, self._total, self._tell = work / FILE, bytes_total, tell
        self._began = time.monotonic()
        self._before = (0, 0)
        self._told = float("-inf")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def resume(self, *, rows: int, bad: int, bytes: int) -> None:
        """What earlier runs have done; the clock starts anew."""
        self.rows, self.bad, self.bytes = rows, bad, bytes
        self._before = (rows, bytes)
        self._began = time.monotonic()

    def advance(self, *, rows: int, bad: int, bytes: int) -> None:
        self.rows, self.bad, self.bytes = self.rows + rows, self.bad + bad, bytes
        if time.monotonic() - self._told >= EVERY_SECONDS:
            self.publish()

    def publish(self) -> None:
        now = self.now()
        replace_text(self._file, now.model_dump_json())
        if self._tell:
            self._tell(now)
        # Taken last: a slow disk would otherwise bring the next telling closer than half a second.
        self._told = time.monotonic()

    def now(self) -> Progress:
        rows, read = self.rows - self._before[0], self.bytes - self._before[1]
        # Less says nothing yet: the first batch also pays for what is done only once.
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
