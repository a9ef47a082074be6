"""Detect changes by others that make the comparison of a running rollout worthless."""

from services.rollout.decision import Stage
from services.rollout.state import RolloutState
from services.rollout.traffic import TrafficSplit
from slipway.policy import CHALLENGER, CHAMPION, SHADOW


def detect(state: RolloutState, split: TrafficSplit) -> str:
    """Return what was changed by others; empty if nothing.

    A version is compared with one champion, under one split of the traffic. When a person or a
    registration changes either, the comparison is no longer valid.
    """
    champion = split.aliases.get(CHAMPION)
    if state.intended is not None:
        # The intended transition may already have been made, in part or whole.
        ours = champion in (state.champion, state.version)
        return "" if ours else _alias_moved(CHAMPION, champion, state.champion)
    if champion != state.champion:
        return _alias_moved(CHAMPION, champion, state.champion)
    if state.stage not in (Stage.SHADOW, Stage.CANARY):
        return ""
    variant = SHADOW if state.stage == Stage.SHADOW else CHALLENGER
    if (holder := split.aliases.get(variant)) != state.version:
        return _alias_moved(variant, holder, state.version)
    if split.policy is None:
        return "somebody else wrote a policy that cannot be read"
    shares = {
        CHALLENGER: state.percent,
        SHADOW: state.plan.shadow if state.stage == Stage.SHADOW else 0.0,
    }
    for variant, percent in shares.items():
        if (given := getattr(split.policy, variant)) != percent:
            return f"somebody else gave the {variant} {given:g} % of the requests, not {percent:g}"
    return ""


def _alias_moved(variant: str, to: str | None, before: str | None) -> str:
    names = ["nobody" if version is None else f"v{version}" for version in (to, before)]
    return f"somebody else made {names[0]} the {variant}, which was {names[1]}"
