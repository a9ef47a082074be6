"""The history of checks: an append-only file per project."""

import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.monitor.check import Check

log = logging.getLogger("slipway.monitor")
BEFORE = ".before"


class History:
    """The checks in `<folder>/<project>.jsonl`, and one older file.

    A file longer than `bytes` becomes the older file, `.jsonl.before`.
    """

    def __init__(self, folder: Path, *, bytes: int) -> None:
        self.folder, self.bytes = folder, bytes

    def append(self, check: Check) -> None:
        """Write a check as one line, on disk when this returns.

        Raises:
            OSError: the disk is full, dead or read-only.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(check.project)
        if file.exists() and file.stat().st_size > self.bytes:
            file.replace(file.with_name(file.name + BEFORE))
        line = check.model_dump_json().encode() + b"\n"
        with file.open("a+b", buffering=0) as stream:
            if _ends_within_line(stream.fileno()):
                # The monitor was killed during a write; the fragment becomes a skipped line.
                line = b"\n" + line
            stream.write(line)
            os.fsync(stream.fileno())

    def latest(self, project: str) -> Check | None:
        """Return the newest check."""
        return next(iter(self.checks(project, limit=1)), None)

    def checks(self, project: str, *, limit: int) -> list[Check]:
        """Return the newest `limit` checks, newest first, without lines that cannot be read."""
        found: list[Check] = []
        for line in self._backwards(project):
            if len(found) == limit:
                break
            try:
                found.append(Check.model_validate_json(line))
            except ValidationError:
                log.warning("%s: a line of the history cannot be read", project)
        return found

    def projects(self) -> list[str]:
        """Return the projects that have a history."""
        return sorted(file.name.removesuffix(".jsonl") for file in self.folder.glob("*.jsonl"))

    def _file(self, project: str) -> Path:
        return self.folder / f"{project}.jsonl"

    def _backwards(self, project: str) -> Iterator[bytes]:
        """Yield the lines, last first; memory holds one file at a time."""
        file = self._file(project)
        for each in (file, file.with_name(file.name + BEFORE)):
            try:
                lines = deque(each.read_bytes().split(b"\n"))
            except FileNotFoundError:
                continue
            while lines:
                line = lines.pop()
                if line.strip():
                    yield line


def _ends_within_line(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def summary(check: Check) -> dict[str, Any]:
    """Return a check without its fields, for the list of past checks."""
    return {
        "time": check.time,
        "version": check.version,
        "outcome": check.outcome,
        "note": check.note,
        "drift_alarm": check.drift_alarm,
        "performance_alarm": check.performance_alarm,
        "drifted": {
            window.window: [each.field for each in window.drifted] for window in check.windows
        },
        "rows": {window.window: window.rows for window in check.windows},
        "scores": {
            score.metric: score.value
            for score in (check.performance.scores if check.performance else [])
        },
        "report": check.report,
    }
