"""A person makes a version champion at once: without proof, with a reason, on record."""

from slipway.access import audit
from slipway.policy import CHAMPION
from slipway.registry import promotions
from slipway.rollout import journal, served, traffic


class NoReason(ValueError):
    """Whoever goes around the checks must say why."""


def promote(project: str, version: str, *, actor: str, reason: str) -> None:
    """Make the version champion now; a rollout that runs is sent back by its controller.

    Raises:
        NoReason: `reason` is empty.
        traffic.NoVersion: there is no such project or version.
    """
    before, tags = _known(project, version, reason)
    # The log first: what serves without a line in it could never be explained.
    journal.by_hand(
        project, version, event="by hand", before=before, actor=actor, reason=reason, tags=tags
    )
    traffic.enthrone(project, version)
    _audit("promote", project, version, before, actor, reason)


def rollback(project: str, *, to: str | None, actor: str, reason: str) -> str:
    """Make the champion before, or version `to`, champion again; its number.

    The log comes second: a registration may hold it for a minute, and callers wait.

    Raises:
        NoReason: `reason` is empty.
        traffic.NoVersion: there is no such project or version.
        served.NoneBefore: the log names no champion before.
    """
    current = traffic.standing(project).aliases.get(CHAMPION)
    target = to or served.champion_before(promotions.history(project), current)
    before, tags = _known(project, target, reason)
    traffic.enthrone(project, target)
    journal.by_hand(
        project, target, event="rollback", before=before, actor=actor, reason=reason, tags=tags
    )
    _audit("rollback", project, target, before, actor, reason)
    return target


def _known(project: str, version: str, reason: str) -> tuple[str | None, dict[str, str]]:
    """The champion until now, and the version's tags.

    Raises:
        NoReason: `reason` is empty.
        traffic.NoVersion: there is no such project or version.
    """
    if not reason.strip():
        raise NoReason("reason: must say why, for whoever reads the log; give --reason")
    tags = dict(traffic.version(project, version).tags)
    return traffic.standing(project).aliases.get(CHAMPION), tags


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
