"""The promotion log's lines of a rollout, each written once, also by who takes over after a kill.

The log is one file for the home: `slipway history` reads it.
"""

from typing import Any

from filelock import Timeout

from slipway.registry import promotions, tracking
from slipway.rollout.decision import Stage
from slipway.rollout.state import State, Transition

# A registration holds the registry while it compares and uploads: rather look again meanwhile.
WAIT_SECONDS = 2.0


class RegistryHeld(Exception):
    """Somebody registers a version; what is not urgent waits."""


def write(state: State, made: Transition, tags: dict[str, str]) -> None:
    """One line for the transition, unless it is there.

    Raises:
        RegistryHeld: somebody else writes to the registry; try again.
        promotions.PromotionLogBroken: the log was tampered with.
        OSError: the disk is full or gone.
    """
    mark = (state.id, made.to.value, made.at)
    try:
        held = tracking.writing().acquire(timeout=WAIT_SECONDS)
    except Timeout:
        raise RegistryHeld("somebody registers a version; waiting for the registry") from None
    with held:
        for entry in reversed(promotions.history(state.project)):
            evidence = entry["evidence"]
            if tuple(evidence.get(name) for name in ("rollout", "event", "decided")) == mark:
                return
        promotions.append(
            promotions.Decision(
                project=state.project,
                version=state.version,
                promoted=made.to == Stage.PROMOTED,
                reason=made.reason,
                evidence={
                    **lineage(tags),
                    **made.evidence,
                    "event": made.to.value,
                    "rollout": state.id,
                    "decided": made.at,
                    "percent": _percent(state, made),
                    "rule": made.rule,
                    "champion_version": state.champion,
                    "started_by": state.actor,
                    "plan": state.plan.model_dump(mode="json", exclude_defaults=True),
                },
            )
        )


def lineage(tags: dict[str, str]) -> dict[str, str]:
    """Which bytes, data and commit a version came from: its tags, but those with a prefix, which
    say how it is used (`slipway.reference_rows`)."""
    return {name: value for name, value in tags.items() if "." not in name}


def _percent(state: State, made: Transition) -> float:
    """Of the requests that the version answers, or of a shadow is asked, from then on."""
    if made.to == Stage.CANARY:
        return state.plan.canary[made.step]
    if made.to == Stage.SHADOW:
        return state.plan.shadow
    return 100.0 if made.to == Stage.PROMOTED else 0.0


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
    """A champion that a person chose."""
    evidence: dict[str, Any] = {
        **lineage(tags),
        "event": event,
        "champion_version": before,
        "approver": actor,
    }
    promotions.append(promotions.Decision(project, version, True, reason, evidence))
