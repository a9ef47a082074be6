"""How far was sent: one file, moved on only after the brokers have confirmed."""

from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway import files
from slipway.predictions import follow

Offset = Annotated[int, Field(ge=follow.START)]
Count = Annotated[int, Field(ge=0)]


class Busy(Exception):
    """Another process sends the same log."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Place(_Strict):
    """In a segment of the prediction log."""

    last: Offset = follow.START
    """Of the last record that is settled."""
    settled: Count = 0
    """Records up to there: confirmed, or counted as lost."""
    seen: Offset = follow.START
    """Of the last record that was counted."""
    known: Count = 0
    """Records up to there: what is lost, if the segment goes before it was sent."""

    @property
    def waiting(self) -> int:
        return max(0, self.known - self.settled)


class Position(_Strict):
    schema_version: Literal[1] = 1
    segments: dict[str, Place] = Field(default_factory=dict)
    """Of which there may be more to send."""
    done: set[str] = Field(default_factory=set)
    """Segments that are closed and sent, as long as they are kept."""
    truth: Count = 0
    """Number of the last one that is settled."""
    lost: dict[str, float] = Field(default_factory=dict)
    """When something was last lost, Unix time, by kind."""


class PositionFile:
    """`position.json` in the folder; this process alone writes it, until `close`.

    Raises:
        Busy: another process holds the folder.
        ValueError: the file holds no position.
        OSError: the disk is full, dead or refuses.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "position.json"
        self._lock = FileLock(folder / "stream.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise Busy(f"{folder} is held by another process that sends the same log") from None
        try:
            self._text = self._file.read_text() if self._file.exists() else ""
            self.position = self._read()
        except BaseException:
            self.close()
            raise

    def save(self) -> None:
        """On disk when this returns."""
        text = self.position.model_dump_json()
        if text != self._text:
            files.replace_text(self._file, text)
            self._text = text

    def close(self) -> None:
        self._lock.release()

    def _read(self) -> Position:
        if not self._text:
            return Position()
        try:
            return Position.model_validate_json(self._text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "file"
            raise ValueError(
                f"{self._file}: {place}: {first['msg']}; restore it from a backup, or remove it "
                "and everything that is kept is sent again"
            ) from None
