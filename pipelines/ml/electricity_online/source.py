"""The interface of event sources, and the simpler source of the two: a file of lines."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Entry:
    """An entry of a source, at a position."""

    place: int
    after: int
    """The position of the next entry."""
    text: bytes | None
    """None if entries were deleted before they were read."""


class Source(Protocol):
    """A source of events with positions to continue from."""

    name: str
    """Always the same for a source, since a position is meaningless in another one."""
    unit: str
    """The unit of positions."""

    def entries(self, place: int) -> Generator[Entry | None, None, None]:
        """Yield the entries from `place` on, and None whenever there are no more.

        When resumed after None, it waits for more.

        Raises:
            ValueError: the source ends before `place`, so it is not the one that was followed.
        """


class EventFile:
    """A file of events; positions are bytes. A last line without a line end is not read yet."""

    unit = "byte"

    def __init__(self, file: Path) -> None:
        self._file = file
        self.name = str(file.resolve())

    def entries(self, place: int) -> Generator[Entry | None, None, None]:
        with self._file.open("rb") as stream:
            if place > stream.seek(0, 2):
                raise ValueError(f"{self.name} ends before byte {place}, the saved position")
            stream.seek(place)
            while True:
                line = stream.readline()
                if line.endswith(b"\n"):
                    yield Entry(place, place + len(line), line)
                    place += len(line)
                else:
                    stream.seek(place)
                    yield None
                    time.sleep(PAUSE_SECONDS)
