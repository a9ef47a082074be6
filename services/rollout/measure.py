"""Observe a rollout: read servers, prediction log and feedback since the last observation."""

import sqlite3
from typing import Any

from services.rollout import agreement, arms, scores, scrape
from services.rollout.decision import Agreement, Observation, Stage
from services.rollout.scrape import MetricsUnreachable, ServerMetrics
from services.rollout.state import RolloutState
from slipway import home
from slipway.policy import CHALLENGER, CHAMPION, SHADOW
from slipway.statistics.ab import Sample


def observe(
    state: RolloutState,
    *,
    servers: tuple[str, ...],
    now: float,
    controlled_since: float,
    unavailable: str,
) -> tuple[RolloutState, Observation]:
    """Return the state with the new counts, and all that a decision depends on.

    `controlled_since` is when this controller took over; time without metrics counts from then.
    `unavailable` is what the caller already could not reach.
    """
    missing = [unavailable] if unavailable else []
    scraped: dict[str, ServerMetrics] = {}
    for server in servers:
        try:
            scraped[server] = scrape.scrape(server, state.project)
        except MetricsUnreachable as error:
            missing.append(str(error))
    variant = SHADOW if state.stage == Stage.SHADOW else CHALLENGER
    apart = any(
        state.version in each.isolated and state.champion not in each.isolated
        for each in scraped.values()
    )
    not_serving = [
        name for name, each in scraped.items() if (state.version, variant) not in each.serving
    ]
    for server in not_serving:
        missing += _sync_faults(server, state.project)
    serving = len(scraped) == len(servers) and not not_serving
    state = _counted(state, scraped, servers=servers, variant=variant, now=now)
    changed: dict[str, Any] = {}
    if state.serving_since is None and serving:
        changed["serving_since"] = now
    canary = state.stage == Stage.CANARY
    isolated = canary and state.within and apart
    if canary and serving and not apart:
        changed["within"] = True
    if state.stage == Stage.SHADOW:
        changed |= _compared(state, now, missing)
    state = state.model_copy(update=changed)
    step_scores = _scores(state, missing) if canary else ()
    since, compared = state.serving_since, state.compared
    return state, Observation(
        stage=state.stage,
        seconds=0.0 if since is None else now - since,
        waited=now - state.entered,
        serving=since is not None,
        champion=state.champion_arm,
        candidate=state.candidate_arm,
        slow_bound=state.slow_bound,
        scores=step_scores,
        agreement=Agreement(compared.pairs, compared.different) if compared else Agreement(),
        isolated=isolated,
        blind=now - min(max(state.seen.get(each, 0.0), controlled_since) for each in servers),
        unavailable="; ".join(missing),
    )


def _counted(
    state: RolloutState,
    scraped: dict[str, ServerMetrics],
    *,
    servers: tuple[str, ...],
    variant: str,
    now: float,
) -> RolloutState:
    """Return the state with the increases of the servers' counters."""
    champion, candidate = state.champion_arm, state.candidate_arm
    counters = dict(state.counters)
    for server, each in scraped.items():
        # The first metrics of a server are the baseline: they show no increase.
        increases = arms.increase(counters.get(server, each.counters), each.counters)
        counters[server] = each.counters
        counting: dict[str, Any] = {
            "slow_bound": state.slow_bound,
            "only_500": variant == SHADOW,
        }
        champion += arms.count_requests(
            increases, version=state.champion or "", variant=CHAMPION, **counting
        )
        candidate += arms.count_requests(
            increases, version=state.version, variant=variant, **counting
        )
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
            "seen": {**state.seen, **dict.fromkeys(scraped, now)},
            "slow_bound": bound,
        }
    )


def _sync_faults(server: str, project: str) -> list[str]:
    """Return why a server does not serve the version, if it reports a reason."""
    try:
        fault = scrape.sync_fault(server, project)
    except MetricsUnreachable as error:
        return [str(error)]
    return [fault] if fault else []


def _compared(state: RolloutState, now: float, missing: list[str]) -> dict[str, Any]:
    assert state.compared is not None
    try:
        compared = agreement.compare_new_pairs(
            home.home() / "predictions",
            state.compared,
            project=state.project,
            version=state.version,
            now=now,
            tolerance=state.plan.tolerance,
        )
    except OSError as error:
        missing.append(f"prediction log unavailable: {error}")
        return {}
    return {"compared": compared}


def _scores(state: RolloutState, missing: list[str]) -> tuple[tuple[Sample, Sample], ...]:
    try:
        return tuple(
            scores.scores_by_step(
                home.home() / "predictions",
                state.project,
                starts=list(state.steps),
                champion=state.champion or "",
                version=state.version,
            )
        )
    except (OSError, sqlite3.Error) as error:
        missing.append(f"feedback unavailable: {error}")
        return ()
