"""The audit log: actions of administrators, also failed ones; append-only and chained."""

from typing import Any

from filelock import FileLock

from slipway import home
from slipway.registry.chain import ChainLog


def log() -> ChainLog:
    """Return the audit log of the home."""
    place = home.home()
    place.mkdir(parents=True, exist_ok=True)
    return ChainLog(place / "audit.jsonl", lock=lambda: FileLock(place / "audit.lock"))


def record(*, actor: str, action: str, target: str, detail: dict[str, Any], outcome: str) -> None:
    """Append one line, which is on disk when this returns. It must hold no secret.

    Raises:
        ChainBroken: the end of the log was tampered with.
        OSError: the log cannot be written, so the action is not recorded.
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
    """Return all entries, oldest first.

    Raises:
        ChainBroken: a line was changed, removed or inserted.
    """
    return log().entries()
