"""Names of files in the rows of a table, and the content that they stand for."""

import base64
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from services.predict.batch.annotations import byte_limits
from services.predict.batch.entries import BadArchive, check_name, shown
from services.predict.batch.media_files import DamagedFile, MediaFiles
from slipway.contract.record import Record

ROW_BYTES = 256 * 2**20


class NoContent(Exception):
    """Raised when a cell stands for no content; the message names the field and the reason."""


class FileNames:
    """Puts the content of files in the place of their names, in one row after the other.

    A cell names a file beside the table, or by its path from the top. A text that names no file is
    base64, which never holds a dot.
    """

    def __init__(self, files: MediaFiles, record: type[Record], table: str = "") -> None:
        self._files, self._folder = files, PurePosixPath(table).parent
        self._limits = byte_limits(record)
        self.clear()

    def clear(self) -> None:
        """Forget the row before, of which `first` is the first file and `bytes` their size."""
        self.first: str | None = None
        self.bytes = 0

    def as_base64(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with base64 in the place of names.

        Raises:
            NoContent: a file does not exist, is damaged, or is too large for its field.
        """
        return self._filled(row, lambda content: base64.b64encode(content).decode())

    def as_bytes(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the content in the place of names.

        Raises:
            NoContent: a file does not exist, is damaged, or is too large for its field.
        """
        return self._filled(row, lambda content: content)

    def content(self, field: str, path: str) -> bytes:
        """Return the content of a file for a field.

        Raises:
            NoContent: it is damaged, or too large.
        """
        size, most = self._files.sizes[path], self._limits[field]
        if size > most:
            raise NoContent(f"{field}: must be at most {most:,} bytes, got {size:,}")
        if self.bytes + size > ROW_BYTES:
            raise NoContent(f"{field}: the files of a row must be at most {ROW_BYTES:,} bytes")
        try:
            content = self._files.read(path)
        except DamagedFile as error:
            raise NoContent(f"{field}: {path} {error}") from None
        self.bytes += size
        return content

    def _filled(self, row: dict[str, Any], encode: Callable[[bytes], Any]) -> dict[str, Any]:
        self.clear()
        filled = dict(row)
        for field in self._limits:
            value = row.get(field)
            if isinstance(value, list):
                filled[field] = [self._cell(field, each, encode) for each in value]
            elif value is not None:
                filled[field] = self._cell(field, value, encode)
        return filled

    def _cell(self, field: str, value: Any, encode: Callable[[bytes], Any]) -> Any:
        if not isinstance(value, str) or value.startswith("data:"):
            return value
        path = self._path(value)
        if path is None:
            if "." in value:
                raise NoContent(f"{field}: there is no file {shown(value)} in the source")
            return value
        self.first = self.first or path
        return encode(self.content(field, path))

    def _path(self, name: str) -> str | None:
        # No file has a name as long as this; base64 of a picture may have millions of letters.
        if len(name) > 1024:
            return None
        try:
            path = check_name(name)
        except BadArchive:
            return None
        beside = str(self._folder / path)
        return next((each for each in (beside, path) if each in self._files.sizes), None)
