"""What somebody else changed of that which a rollout rests on, while it runs."""

from slipway.policy import CHALLENGER, CHAMPION, SHADOW
from slipway.rollout.decision import Stage
from slipway.rollout.state import State
from slipway.rollout.traffic import Standing


def found(state: State, standing: Standing) -> str:
    """What it is; empty if nothing.

    A version is compared with one champion, under one division of the traffic. When either is
    changed by hand, or by a registration, the comparison is worth nothing any more.
    """
    champion = standing.aliases.get(CHAMPION)
    if state.intended is not None:
        # What was written down may have been made already, in part or whole.
        ours = champion in (state.champion, state.version)
        return "" if ours else _moved(CHAMPION, champion, state.champion)
    if champion != state.champion:
        return _moved(CHAMPION, champion, state.champion)
    if state.stage not in (Stage.SHADOW, Stage.CANARY):
        return ""
    variant = SHADOW if state.stage == Stage.SHADOW else CHALLENGER
    if (bearer := standing.aliases.get(variant)) != state.version:
        return _moved(variant, bearer, state.version)
    if standing.policy is None:
        return "somebody else wrote a policy that cannot be read"
    shares = {
        CHALLENGER: state.percent,
        SHADOW: state.plan.shadow if state.stage == Stage.SHADOW else 0.0,
    }
    for variant, percent in shares.items():
        if (given := getattr(standing.policy, variant)) != percent:
            return f"somebody else gave the {variant} {given:g} % of the requests, not {percent:g}"
    return ""


def _moved(variant: str, to: str | None, before: str | None) -> str:
    told = ["nobody" if version is None else f"v{version}" for version in (to, before)]
    return f"somebody else made {told[0]} the {variant}, which was {told[1]}"
