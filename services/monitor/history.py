"""What was found, check by check: a file a project, only added to, on disk before it is told."""

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
    """`<folder>/<project>.jsonl`, and the file before it once it is longer than `bytes`."""

    def __init__(self, folder: Path, *, bytes: int) -> None:
        self.folder, self.bytes = folder, bytes

    def append(self, check: Check) -> None:
        """Write one line, on disk when this returns.

        Raises:
            OSError: the disk is full, dead or refuses.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(check.project)
        if file.exists() and file.stat().st_size > self.bytes:
            file.replace(file.with_name(file.name + BEFORE))
        line = check.model_dump_json().encode() + b"\n"
        with file.open("a+b", buffering=0) as stream:
            if _torn(stream.fileno()):
                # The monitor was killed while it wrote: the piece becomes a line that is skipped.
                line = b"\n" + line
            stream.write(line)
            os.fsync(stream.fileno())

    def latest(self, project: str) -> Check | None:
        return next(iter(self.checks(project, limit=1)), None)

    def checks(self, project: str, *, limit: int) -> list[Check]:
        """The newest `limit`, the newest first. Lines that cannot be read are left out."""
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
        return sorted(file.name.removesuffix(".jsonl") for file in self.folder.glob("*.jsonl"))

    def _file(self, project: str) -> Path:
        return self.folder / f"{project}.jsonl"

    def _backwards(self, project: str) -> Iterator[bytes]:
        """Lines, the last first; memory holds one file at a time."""
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


def _torn(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def summary(check: Check) -> dict[str, Any]:
    """A check without its fields, for the list of past ones."""
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
