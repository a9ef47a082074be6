"""The promotion log: append-only, each line bound to the one before by its hash."""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway import home
from slipway.registry.tracking import writing


class PromotionLogBroken(Exception):
    """A line was changed or removed; the message says which."""


@dataclass(frozen=True)
class Decision:
    """What was decided of a candidate, and on what evidence."""

    project: str
    version: str
    promoted: bool
    reason: str
    evidence: dict[str, Any]


def log_file() -> Path:
    return home.home() / "promotions.jsonl"


def append(decision: Decision) -> None:
    """Write one line, on disk when this returns."""
    with writing():
        lines = log_file().read_text().splitlines() if log_file().exists() else []
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **vars(decision),
            "previous": _hash(lines[-1]) if lines else "",
        }
        with log_file().open("a") as stream:
            stream.write(json.dumps(entry, sort_keys=True) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def history(project: str | None = None) -> list[dict[str, Any]]:
    """All entries, oldest first, of one project or of all.

    Raises:
        PromotionLogBroken: a line does not follow the one before it.
    """
    lines = log_file().read_text().splitlines() if log_file().exists() else []
    previous, entries = "", []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise PromotionLogBroken(f"{log_file()} line {number} is not JSON") from error
        if entry["previous"] != previous:
            raise PromotionLogBroken(
                f"{log_file()} line {number} does not follow line {number - 1}: one was changed"
            )
        previous = _hash(line)
        if project in (None, entry["project"]):
            entries.append(entry)
    return entries


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()
