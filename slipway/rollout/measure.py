"""One look at a rollout: what servers, prediction log and feedback say since the last one."""

import sqlite3
from typing import Any

from slipway import home
from slipway.policy import CHALLENGER, CHAMPION, SHADOW
from slipway.rollout import agreement, arms, scrape, truths
from slipway.rollout.decision import Agreement, Observed, Stage
from slipway.rollout.scrape import Scraped, Unreachable
from slipway.rollout.state import State
from slipway.statistics.ab import Sample


def look(
    state: State, *, servers: tuple[str, ...], now: float, began: float, unseen: str
) -> tuple[State, Observed]:
    """The state with what was counted, and all that a decision rests on.

    `began` is when this controller took over, before which it could see nothing; `unseen` is
    what it found to be away already.
    """
    away = [unseen] if unseen else []
    told: dict[str, Scraped] = {}
    for server in servers:
        try:
            told[server] = scrape.scrape(server, state.project)
        except Unreachable as error:
            away.append(str(error))
    variant = SHADOW if state.stage == Stage.SHADOW else CHALLENGER
    apart = any(
        state.version in each.isolated and state.champion not in each.isolated
        for each in told.values()
    )
    silent = [name for name, each in told.items() if (state.version, variant) not in each.serving]
    for server in silent:
        away += _why(server, state.project)
    serving = len(told) == len(servers) and not silent
    state = _counted(state, told, servers=servers, variant=variant, now=now)
    changed: dict[str, Any] = {}
    if state.serving_since is None and serving:
        changed["serving_since"] = now
    canary = state.stage == Stage.CANARY
    isolated = canary and state.within and apart
    if canary and serving and not apart:
        changed["within"] = True
    if state.stage == Stage.SHADOW:
        changed |= _compared(state, now, away)
    state = state.model_copy(update=changed)
    scores = _scores(state, away) if canary else ()
    since, compared = state.serving_since, state.compared
    return state, Observed(
        stage=state.stage,
        seconds=0.0 if since is None else now - since,
        waited=now - state.entered,
        serving=since is not None,
        champion=state.champion_arm,
        candidate=state.candidate_arm,
        slow_bound=state.slow_bound,
        truths=scores,
        agreement=Agreement(compared.pairs, compared.different) if compared else Agreement(),
        isolated=isolated,
        blind=now - min(max(state.seen.get(each, 0.0), began) for each in servers),
        unseen="; ".join(away),
    )


def _counted(
    state: State, told: dict[str, Scraped], *, servers: tuple[str, ...], variant: str, now: float
) -> State:
    """With what the servers' counters rose by."""
    champion, candidate = state.champion_arm, state.candidate_arm
    counters = dict(state.counters)
    for server, each in told.items():
        # Of a server that was never asked before, nothing is known to have risen.
        risen = arms.increase(counters.get(server, each.counters), each.counters)
        counters[server] = each.counters
        counting: dict[str, Any] = {
            "slow_bound": state.slow_bound,
            "yielding": variant == SHADOW,
        }
        champion += arms.counted(risen, version=state.champion or "", variant=CHAMPION, **counting)
        candidate += arms.counted(risen, version=state.version, variant=variant, **counting)
    bound, plan = state.slow_bound, state.plan
    if bound is None and state.stage == Stage.CANARY:
        bound = arms.slow_bound(
            [counters[each] for each in servers if each in counters],
            champion=state.champion or "",
            quantile=plan.slow_quantile,
            ratio=plan.slow_ratio,
            floor_seconds=plan.slow_floor_seconds,
            least=plan.baseline_requests,
        )
    return state.model_copy(
        update={
            "champion_arm": champion,
            "candidate_arm": candidate,
            "counters": counters,
            "seen": {**state.seen, **dict.fromkeys(told, now)},
            "slow_bound": bound,
        }
    )


def _why(server: str, project: str) -> list[str]:
    """Why a server does not answer with the version, if it says so."""
    try:
        fault = scrape.faults(server, project)
    except Unreachable as error:
        return [str(error)]
    return [fault] if fault else []


def _compared(state: State, now: float, away: list[str]) -> dict[str, Any]:
    assert state.compared is not None
    try:
        further = agreement.further(
            home.home() / "predictions",
            state.compared,
            project=state.project,
            version=state.version,
            now=now,
            tolerance=state.plan.tolerance,
        )
    except OSError as error:
        away.append(f"prediction log away: {error}")
        return {}
    return {"compared": further}


def _scores(state: State, away: list[str]) -> tuple[tuple[Sample, Sample], ...]:
    try:
        return tuple(
            truths.by_step(
                home.home() / "predictions",
                state.project,
                starts=list(state.steps),
                champion=state.champion or "",
                version=state.version,
            )
        )
    except (OSError, sqlite3.Error) as error:
        away.append(f"feedback away: {error}")
        return ()
