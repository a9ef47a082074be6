"""Write a rollout's lines to the promotion log, each exactly once, also after a kill.

The log is one file for the home; `slipway history` reads it.
"""

from typing import Any

from filelock import Timeout

from services.rollout.decision import Stage
from services.rollout.state import RolloutState, Transition
from slipway.registry import promotions, tracking

# A registration locks the registry while it compares and uploads; the caller retries later.
WAIT_SECONDS = 2.0


class RegistryHeld(Exception):
    """Raised if a registration holds the lock of the registry."""


def write(state: RolloutState, transition: Transition, tags: dict[str, str]) -> None:
    """Append the transition's line, unless the log has it already.

    Raises:
        RegistryHeld: a registration holds the lock; try again.
        promotions.PromotionLogBroken: the log was tampered with.
        OSError: the disk is full or gone.
    """
    mark = (state.id, transition.to.value, transition.at)
    try:
        held = tracking.writing().acquire(timeout=WAIT_SECONDS)
    except Timeout:
        raise RegistryHeld("a version is being registered; waiting for the registry") from None
    with held:
        for entry in reversed(promotions.history(state.project)):
            evidence = entry["evidence"]
            if tuple(evidence.get(name) for name in ("rollout", "event", "decided")) == mark:
                return
        promotions.append(
            promotions.Decision(
                project=state.project,
                version=state.version,
                promoted=transition.to == Stage.PROMOTED,
                reason=transition.reason,
                evidence={
                    **lineage(tags),
                    **transition.evidence,
                    "event": transition.to.value,
                    "rollout": state.id,
                    "decided": transition.at,
                    "percent": _percent(state, transition),
                    "rule": transition.rule,
                    "champion_version": state.champion,
                    "started_by": state.actor,
                    "plan": state.plan.model_dump(mode="json", exclude_defaults=True),
                },
            )
        )


def lineage(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that name the version's bytes, data and commit.

    Tags with a prefix (`slipway.reference_rows`) are left out: they say how the version is used.
    """
    return {name: value for name, value in tags.items() if "." not in name}


def _percent(state: RolloutState, transition: Transition) -> float:
    """Return the percentage of requests that the version gets after the transition."""
    if transition.to == Stage.CANARY:
        return state.plan.canary[transition.step]
    if transition.to == Stage.SHADOW:
        return state.plan.shadow
    return 100.0 if transition.to == Stage.PROMOTED else 0.0


def by_hand(
    project: str,
    version: str,
    *,
    event: str,
    before: str | None,
    actor: str,
    reason: str,
    tags: dict[str, str],
) -> None:
    """Append the line of a champion that a person chose."""
    evidence: dict[str, Any] = {
        **lineage(tags),
        "event": event,
        "champion_version": before,
        "approver": actor,
    }
    promotions.append(promotions.Decision(project, version, True, reason, evidence))
