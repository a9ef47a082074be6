"""The position file: how far both logs were sent and confirmed by the brokers."""

from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock, Timeout
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from slipway import files
from slipway.predictions import follow

Offset = Annotated[int, Field(ge=follow.START)]
Count = Annotated[int, Field(ge=0)]


class FolderLocked(Exception):
    """Raised when another process forwards the same log."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SegmentPosition(_Strict):
    """The position in a segment of the prediction log."""

    last: Offset = follow.START
    """Offset of the last settled record."""
    settled: Count = 0
    """Number of records up to there: confirmed, or counted as lost."""
    seen: Offset = follow.START
    """Offset of the last counted record."""
    known: Count = 0
    """Number of records up to there; the unsettled ones are lost if the segment is deleted."""

    @property
    def waiting(self) -> int:
        return max(0, self.known - self.settled)


class Position(_Strict):
    """The content of the position file."""

    schema_version: Literal[1] = 1
    segments: dict[str, SegmentPosition] = Field(default_factory=dict)
    """Segments that may have more records to send, by name."""
    done: set[str] = Field(default_factory=set)
    """Closed segments that were sent completely, until they are deleted."""
    label: Count = Field(default=0, validation_alias=AliasChoices("label", "truth"))
    """Number of the last settled label. Earlier versions wrote `truth`."""
    lost: dict[str, float] = Field(default_factory=dict)
    """When a record was last lost, Unix time, by kind."""


class PositionFile:
    """`position.json` in the folder, locked for this process until `close`.

    Raises:
        Busy: another process has locked the folder.
        ValueError: the file does not contain a position.
        OSError: the disk is full or fails.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "position.json"
        self._lock = FileLock(folder / "stream.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise FolderLocked(
                f"{folder} is locked by another process that forwards the same log"
            ) from None
        try:
            self._text = self._file.read_text() if self._file.exists() else ""
            self.position = self._read()
        except BaseException:
            self.close()
            raise

    def save(self) -> None:
        """Write the position, if it changed; it is on disk when this returns."""
        text = self.position.model_dump_json()
        if text != self._text:
            files.replace_text(self._file, text)
            self._text = text

    def close(self) -> None:
        """Release the lock."""
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
                "to send everything that is kept again"
            ) from None
