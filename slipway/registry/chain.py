"""An append-only log: JSON lines, each with the SHA-256 of the line before it."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.fsync import fsync

# The file is read backwards in blocks until the last lines are found; a block holds some hundred.
BLOCK = 64 * 2**10


class ChainBroken(Exception):
    """Raised when a line was changed, removed or inserted; the message names file and line."""


class ChainLog:
    """One log file and the lock that its writers share.

    The chain reveals a line that was changed, removed or inserted before the last one. No chain
    can reveal a change of the last line, or lines cut off the end with nothing after them.

    A line and its newline are written in one piece, and `append` returns when both are on disk.
    A file that does not end with a newline therefore ends with a line whose `append` never
    returned: its process was killed, the disk was full, or the machine lost power. No caller
    relies on that line, so the next `append` moves a partial line to `<file>.torn`, and the chain
    continues from the last whole line. A torn end differs from tampering: only the end can be
    torn, and a partial line is not a JSON object, since an object is closed by its last
    character. An end that is a JSON object lacks only the newline: it stays in the log if it
    follows the line before it, and is reported as tampering if not. A broken line with a newline
    after it is always tampering. Someone who cuts into the last line makes it look torn, which is
    no worse than cutting it off, and the rest of the line is kept.
    """

    def __init__(self, file: Path, *, lock: Callable[[], AbstractContextManager[Any]]) -> None:
        """`lock` returns the lock to hold while writing a line, such as `lambda: FileLock(...)`."""
        self.file = file
        self._lock = lock

    def append(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Append one line; return the entry with `time` and `previous`.

        The line is on disk when this returns.

        Raises:
            ChainBroken: the last line does not follow the one before it.
            TypeError: the entry cannot be written as JSON.
            ValueError: the entry has a `time` or `previous` already.
        """
        if taken := sorted({"time", "previous"} & entry.keys()):
            raise ValueError(f"{', '.join(taken)}: set by the log, leave out of the entry")
        with self._lock(), self.file.open("a+b", buffering=0) as stream:
            last = self._repaired(stream.fileno())
            written = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                **entry,
                "previous": _hash(last),
            }
            _write(stream.fileno(), json.dumps(written, sort_keys=True).encode() + b"\n")
            if last is None:
                fsync(self.file.parent)
        return written

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries, oldest first.

        Raises:
            ChainBroken: a line does not follow the one before it.
        """
        try:
            return self._verified(self._read())
        except ChainBroken:
            # A torn end that is moved while we read looks the same: read again without writers.
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

    def _repaired(self, file: int) -> bytes | None:
        """Repair a torn end; return the last line, or None if there is no line."""
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
        """Move a partial line to `.torn`. If killed in between, it may be there twice."""
        torn = self.file.with_name(self.file.name + ".torn")
        with torn.open("ab", buffering=0) as stream:
            _write(stream.fileno(), rest + b"\n")
        fsync(torn.parent)
        os.ftruncate(file, os.fstat(file).st_size - len(rest))
        os.fsync(file)


def _end(file: int) -> tuple[bytes | None, bytes]:
    """Return the last whole line (None if there is none) and what follows its newline."""
    content, start = b"", os.fstat(file).st_size
    while start and content.count(b"\n") < 2:
        step = min(BLOCK, start)
        start -= step
        content = os.pread(file, step, start) + content
    *lines, rest = content.split(b"\n")
    return (lines[-1] if lines else None), rest


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the entry, or None if the line is not a JSON object."""
    try:
        entry = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _hash(line: bytes | None) -> str:
    """Return the hash of a line without its newline; empty for None, before the first line."""
    return "" if line is None else hashlib.sha256(line).hexdigest()


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)
