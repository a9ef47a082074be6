"""Where labelled events come from, and the plain one of two places: a file of lines."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Entry:
    """What stands between two places of a source."""

    place: int
    after: int
    """Where the next one stands."""
    text: bytes | None
    """None: what stood there was deleted before it was read."""


class Source(Protocol):
    name: str
    """The same whenever it is followed: a place says nothing in another source."""
    unit: str
    """What places count."""

    def entries(self, place: int) -> Generator[Entry | None, None, None]:
        """What stands there from `place` on; None whenever all that was there has been told.

        Asked on after None, it waits for more.

        Raises:
            ValueError: the source ends before `place`, so it is not the one that was followed.
        """


class EventFile:
    """Places are bytes. A last line without its end is not yet there."""

    unit = "byte"

    def __init__(self, file: Path) -> None:
        self._file = file
        self.name = str(file.resolve())

    def entries(self, place: int) -> Generator[Entry | None, None, None]:
        with self._file.open("rb") as stream:
            if place > stream.seek(0, 2):
                raise ValueError(f"{self.name} ends before byte {place}, to which it was followed")
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
