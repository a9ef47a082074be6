"""Promotion and rollback by a person: immediate, without checks, with a recorded reason."""

from services.rollout import journal, served, traffic
from slipway.access import audit
from slipway.policy import CHAMPION
from slipway.registry import promotions


class NoReason(ValueError):
    """Raised if no reason is given for a change without checks."""


def promote(project: str, version: str, *, actor: str, reason: str) -> None:
    """Make the version champion now. The controller of a running rollout rolls that back.

    Raises:
        NoReason: `reason` is empty.
        traffic.NoVersion: there is no such project or version.
    """
    before, tags = _checked(project, version, reason)
    # Log first: a version that serves without a line in the log could not be explained later.
    journal.by_hand(
        project, version, event="by hand", before=before, actor=actor, reason=reason, tags=tags
    )
    traffic.make_champion(project, version)
    _audit("promote", project, version, before, actor, reason)


def rollback(project: str, *, to: str | None, actor: str, reason: str) -> str:
    """Make the previous champion, or version `to`, champion again; return its number.

    The log is written second: a registration may lock it for a minute, while callers wait.

    Raises:
        NoReason: `reason` is empty.
        traffic.NoVersion: there is no such project or version.
        served.NoPreviousChampion: the log names none.
    """
    current = traffic.current_split(project).aliases.get(CHAMPION)
    target = to or served.previous_champion(promotions.history(project), current)
    before, tags = _checked(project, target, reason)
    traffic.make_champion(project, target)
    journal.by_hand(
        project, target, event="rollback", before=before, actor=actor, reason=reason, tags=tags
    )
    _audit("rollback", project, target, before, actor, reason)
    return target


def _checked(project: str, version: str, reason: str) -> tuple[str | None, dict[str, str]]:
    """Return the current champion and the version's tags.

    Raises:
        NoReason: `reason` is empty.
        traffic.NoVersion: there is no such project or version.
    """
    if not reason.strip():
        raise NoReason("reason: must say why, for the readers of the log; use --reason")
    before = traffic.current_split(project).aliases.get(CHAMPION)
    return before, dict(traffic.version(project, version).tags)


def _audit(
    action: str, project: str, version: str, before: str | None, actor: str, reason: str
) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=f"{project} champion",
        detail={"version": version, "before": before, "reason": reason},
        outcome="done",
    )
