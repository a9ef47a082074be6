"""The promotion log: append-only, each line bound to the one before by its hash."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import paths
from slipway.registry.chain import ChainBroken, ChainLog
from slipway.registry.tracking import writing

PromotionLogBroken = ChainBroken


@dataclass(frozen=True)
class Decision:
    """What was decided of a candidate, and on what evidence."""

    project: str
    version: str
    promoted: bool
    reason: str
    evidence: dict[str, Any]


def log_file() -> Path:
    return paths.home() / "promotions.jsonl"


def append(decision: Decision) -> None:
    """Write one line, on disk when this returns.

    Raises:
        PromotionLogBroken: the end of the log was tampered with.
    """
    ChainLog(log_file(), lock=writing).append(vars(decision))


def history(project: str | None = None) -> list[dict[str, Any]]:
    """All entries, oldest first, of one project or of all.

    Raises:
        PromotionLogBroken: a line was changed or removed; the message says which.
    """
    entries = ChainLog(log_file(), lock=writing).entries()
    return [entry for entry in entries if project in (None, entry["project"])]
