"""Beginning a rollout, and carrying it on until it is over."""

import threading
import uuid
from collections.abc import Callable

from slipway.policy import CHALLENGER, CHAMPION, SHADOW
from slipway.rollout import plan as plans
from slipway.rollout import state as states
from slipway.rollout import traffic
from slipway.rollout.controller import Controller, alone
from slipway.rollout.plan import Plan
from slipway.rollout.state import NoRollout, State
from slipway.rollout.traffic import Standing


class Refused(Exception):
    """The rollout cannot begin; nothing was changed."""


def start(project: str, version: str, *, plan: Plan | None = None, actor: str) -> State:
    """Write down that the version is to be rolled out; a controller carries it on.

    Raises:
        BadPlan, OSError: no plan is given, and that of $SLIPWAY_ROLLOUT_PLAN cannot be read.
        Refused: it is champion, another rollout runs, or somebody else's test has traffic.
        Controlled: a controller acts for the project now.
        traffic.NoVersion: the registry has no such project or version.
        traffic.RegistryAway: the registry does not answer.
    """
    with alone(project):
        _check_over(project)
        traffic.version(project, version)
        standing = traffic.standing(project)
        _check_free(project, version, standing)
        begun = states.now()
        state = State(
            id=uuid.uuid4().hex[:12],
            project=project,
            version=version,
            champion=standing.aliases.get(CHAMPION),
            plan=plan or plans.default(),
            actor=actor,
            started=begun,
            entered=begun,
        )
        states.save(state)
    return state


def active() -> list[str]:
    """Projects whose rollout is not over: somebody should carry it on."""
    return [state.project for state in states.rollouts() if not state.over]


def run(
    project: str,
    *,
    servers: tuple[str, ...] | None = None,
    stopping: threading.Event | None = None,
    say: Callable[[str], None] | None = None,
) -> State:
    """Carry the rollout on until it is over, or `stopping` is set; the state then.

    Raises:
        Controlled: another controller acts for the project.
        NoRollout: there is none to carry on.
    """
    stop, told = stopping or threading.Event(), ""
    with Controller(project, servers=servers) as controller:
        while True:
            state = controller.step()
            line = f"{project} v{state.version} {described(state)}: {state.note}"
            if say and line != told:
                say(line)
                told = line
            if state.over or stop.wait(state.plan.interval_seconds):
                return state


def described(state: State) -> str:
    """The stage, with its share of the requests."""
    percent = {"shadow": state.plan.shadow, "canary": state.percent}.get(state.stage)
    return state.stage if percent is None else f"{state.stage} at {percent:g} %"


def _check_over(project: str) -> None:
    """Raises Refused: a rollout runs."""
    try:
        before = states.load(project)
    except NoRollout:
        return
    if not before.over:
        raise Refused(
            f"{project}: v{before.version} is being rolled out; end that first: "
            f"slipway rollout abort {project} --reason ..."
        )


def _check_free(project: str, version: str, standing: Standing) -> None:
    """Raises Refused."""
    if standing.aliases.get(CHAMPION) == version:
        raise Refused(f"{project}: v{version} is champion already")
    if standing.policy is None:
        raise Refused(f"{project}: its policy cannot be read; set it: slipway policy set {project}")
    for variant in (CHALLENGER, SHADOW):
        percent, bearer = getattr(standing.policy, variant), standing.aliases.get(variant)
        if percent and bearer is not None:
            raise Refused(
                f"{project}: v{bearer} is {variant} of {percent:g} % of the requests; end that "
                f"first: slipway policy set {project} --{variant} 0"
            )
