"""Start a rollout, and run it until it is over."""

import threading
import uuid
from collections.abc import Callable

from services.rollout import plan as plans
from services.rollout import state as states
from services.rollout import traffic
from services.rollout.controller import Controller, exclusive_control
from services.rollout.plan import RolloutPlan
from services.rollout.state import NoRollout, RolloutState
from services.rollout.traffic import TrafficSplit
from slipway.policy import CHALLENGER, CHAMPION, SHADOW


class RolloutRefused(Exception):
    """Raised if a rollout cannot start; nothing was changed."""


def start(
    project: str, version: str, *, plan: RolloutPlan | None = None, actor: str
) -> RolloutState:
    """Save a new rollout of the version; a controller then runs it.

    Raises:
        BadPlan, OSError: no plan is given, and that of $SLIPWAY_ROLLOUT_PLAN cannot be read.
        RolloutRefused: the version is champion, a rollout is under way, or another test has
            traffic.
        AlreadyControlled: a controller acts for the project.
        traffic.NoVersion: the registry has no such project or version.
        traffic.RegistryUnavailable: the registry does not respond.
    """
    with exclusive_control(project):
        _check_over(project)
        split = traffic.current_split(project)
        traffic.version(project, version)
        _check_free(project, version, split)
        begun = states.now()
        state = RolloutState(
            id=uuid.uuid4().hex[:12],
            project=project,
            version=version,
            champion=split.aliases.get(CHAMPION),
            plan=plan or plans.default(),
            actor=actor,
            started=begun,
            entered=begun,
        )
        states.save(state)
    return state


def active() -> list[str]:
    """Return the projects whose rollout is not over and needs a controller."""
    return [state.project for state in states.rollouts() if not state.over]


def run(
    project: str,
    *,
    servers: tuple[str, ...] | None = None,
    stopping: threading.Event | None = None,
    report: Callable[[str], None] | None = None,
) -> RolloutState:
    """Run the rollout until it is over or `stopping` is set; return its state.

    `report` gets a line for each change.

    Raises:
        AlreadyControlled: another controller acts for the project.
        NoRollout: the project never had one.
    """
    stop, last_line = stopping or threading.Event(), ""
    with Controller(project, servers=servers) as controller:
        while True:
            state = controller.step()
            line = f"{project} v{state.version} {describe(state)}: {state.note}"
            if report and line != last_line:
                report(line)
                last_line = line
            if state.over or stop.wait(state.plan.interval_seconds):
                return state


def describe(state: RolloutState) -> str:
    """Return the stage, with its percentage of requests."""
    percent = {"shadow": state.plan.shadow, "canary": state.percent}.get(state.stage)
    return state.stage if percent is None else f"{state.stage} at {percent:g} %"


def _check_over(project: str) -> None:
    """Raise RolloutRefused if a rollout of the project is under way."""
    try:
        before = states.load(project)
    except NoRollout:
        return
    if not before.over:
        raise RolloutRefused(
            f"{project}: v{before.version} is being rolled out; end that first: "
            f"slipway rollout abort {project} --reason ..."
        )


def _check_free(project: str, version: str, split: TrafficSplit) -> None:
    """Raise RolloutRefused if the version is champion, or another test has traffic."""
    if split.aliases.get(CHAMPION) == version:
        raise RolloutRefused(f"{project}: v{version} is champion already")
    if split.policy is None:
        raise RolloutRefused(
            f"{project}: its policy cannot be read; set it: slipway policy set {project}"
        )
    for variant in (CHALLENGER, SHADOW):
        percent, holder = getattr(split.policy, variant), split.aliases.get(variant)
        if percent and holder is not None:
            raise RolloutRefused(
                f"{project}: v{holder} is {variant} of {percent:g} % of the requests; end that "
                f"first: slipway policy set {project} --{variant} 0"
            )
