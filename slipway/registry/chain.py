"""A log that is only added to: JSON lines, each bound to the one before by its SHA-256."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Read from the end until the last lines are found; one block holds some hundred of them.
BLOCK = 64 * 2**10


class ChainBroken(Exception):
    """A line was changed, removed or put in; the message names the file and the line."""


class ChainLog:
    """One log file and the lock that its writers share.

    A line that was changed, removed or put in before the last one is found. What no chain can
    find: a change of the last line, or lines cut off the end, with nothing after them.

    A line and its newline are written in one piece, and `append` returns when both are on disk.
    A file that does not end with a newline thus ends with a line whose `append` never returned:
    its process was killed, the disk was full, the machine lost power. Nobody was told that this
    line stands, so a piece of one is moved to `<file>.torn` by the next `append`, and the chain
    goes on from the last whole line. Told from tampering like this: only the end can be torn, and
    a piece is no JSON object, since an object is not closed before its last character. An end
    that is one lacks nothing but the newline: it stays in the log if it follows the line before
    it, and is reported as tampering if not. A broken line with a newline behind it is tampering
    wherever it stands. Whoever cuts into the last line makes it look torn; that is no more than
    cutting it off, and what is left of it is kept.
    """

    def __init__(self, file: Path, *, lock: Callable[[], AbstractContextManager[Any]]) -> None:
        """`lock` makes what is held while a line is written, such as `lambda: FileLock(...)`."""
        self.file = file
        self._lock = lock

    def append(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Write one line, on disk when this returns; the entry with `time` and `previous`.

        Raises:
            ChainBroken: the last line does not follow the one before it.
            TypeError: the entry cannot be written as JSON.
            ValueError: the entry brings a `time` or `previous` of its own.
        """
        if taken := sorted({"time", "previous"} & entry.keys()):
            raise ValueError(f"{', '.join(taken)}: set by the log, leave out of the entry")
        with self._lock(), self.file.open("a+b", buffering=0) as stream:
            last = self._mended(stream.fileno())
            written = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                **entry,
                "previous": _hash(last),
            }
            _write(stream.fileno(), json.dumps(written, sort_keys=True).encode() + b"\n")
            if last is None:
                _sync_folder(self.file.parent)
        return written

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first.

        Raises:
            ChainBroken: a line does not follow the one before it.
        """
        try:
            return self._verified(self._read())
        except ChainBroken:
            # A torn end that was set aside while we read can look like it: read with no writer.
            with self._lock():
                content = self._read()
            return self._verified(content)

    def _read(self) -> bytes:
        return self.file.read_bytes() if self.file.exists() else b""

    def _verified(self, content: bytes) -> list[dict[str, Any]]:
        *lines, rest = content.split(b"\n")
        if _parsed(rest) is not None:
            lines.append(rest)
        previous, found = None, []
        for number, line in enumerate(lines, start=1):
            entry = _parsed(line)
            if entry is None:
                raise ChainBroken(f"{self.file} line {number} is not JSON: it was changed")
            if entry.get("previous") != _hash(previous):
                raise ChainBroken(
                    f"{self.file} line {number} does not follow line {number - 1}: "
                    "one was changed, removed or put in"
                )
            previous = line
            found.append(entry)
        return found

    def _mended(self, file: int) -> bytes | None:
        """The last line, after a torn end was dealt with; None if there is no line."""
        last, rest = _end(file)
        if not rest:
            return last
        entry = _parsed(rest)
        if entry is None:
            self._set_aside(file, rest)
            return last
        if entry.get("previous") != _hash(last):
            raise ChainBroken(
                f"{self.file} last line does not follow the line before it: "
                "one was changed, removed or put in"
            )
        _write(file, b"\n")
        return rest

    def _set_aside(self, file: int, rest: bytes) -> None:
        """Killed between the two steps, the piece stands in `.torn` twice and is never lost."""
        torn = self.file.with_name(self.file.name + ".torn")
        with torn.open("ab", buffering=0) as stream:
            _write(stream.fileno(), rest + b"\n")
        _sync_folder(torn.parent)
        os.ftruncate(file, os.fstat(file).st_size - len(rest))
        os.fsync(file)


def _end(file: int) -> tuple[bytes | None, bytes]:
    """The last line, None without one, and what stands behind its newline."""
    content, start = b"", os.fstat(file).st_size
    while start and content.count(b"\n") < 2:
        step = min(BLOCK, start)
        start -= step
        content = os.pread(file, step, start) + content
    *lines, rest = content.split(b"\n")
    return (lines[-1] if lines else None), rest


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The entry, or None if the line is no JSON object."""
    try:
        entry = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _hash(line: bytes | None) -> str:
    """Over the exact text without its newline; the first line follows nothing."""
    return "" if line is None else hashlib.sha256(line).hexdigest()


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """A new file is there after a power cut once its folder is on disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
