"""The audit log: what administrators did, or tried to; append-only and chained."""

from typing import Any

from filelock import FileLock

from slipway import home
from slipway.registry.chain import ChainLog


def log() -> ChainLog:
    place = home.home()
    place.mkdir(parents=True, exist_ok=True)
    return ChainLog(place / "audit.jsonl", lock=lambda: FileLock(place / "audit.lock"))


def record(*, actor: str, action: str, target: str, detail: dict[str, Any], outcome: str) -> None:
    """Write one line, on disk when this returns. No secret belongs in it.

    Raises:
        ChainBroken: the end of the log was tampered with.
        OSError: the log cannot be written; what was done is then not on record.
    """
    log().append(
        {
            "actor": actor,
            "action": action,
            "target": target,
            "detail": detail,
            "outcome": outcome,
        }
    )


def entries() -> list[dict[str, Any]]:
    """All entries, oldest first.

    Raises:
        ChainBroken: a line was changed, removed or put in.
    """
    return log().entries()
