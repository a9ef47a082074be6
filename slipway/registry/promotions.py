"""The append-only promotion log, whose lines are chained by their hashes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import paths
from slipway.registry.chain import ChainBroken, ChainLog
from slipway.registry.tracking import writing

PromotionLogBroken = ChainBroken


@dataclass(frozen=True)
class Decision:
    """The decision on a candidate, and its evidence."""

    project: str
    version: str
    promoted: bool
    reason: str
    evidence: dict[str, Any]


def log_file() -> Path:
    """Return the path of the promotion log."""
    return paths.home() / "promotions.jsonl"


def append(decision: Decision) -> None:
    """Append one line, which is on disk when this returns.

    Raises:
        PromotionLogBroken: the end of the log was tampered with.
    """
    ChainLog(log_file(), lock=writing).append(vars(decision))


def history(project: str | None = None) -> list[dict[str, Any]]:
    """Return the entries of one project or of all, oldest first.

    Raises:
        PromotionLogBroken: a line was changed or removed; the message says which.
    """
    entries = ChainLog(log_file(), lock=writing).entries()
    return [entry for entry in entries if project in (None, entry["project"])]
