"""Where a rollout stands: one file a project, replaced whole, so that a kill at any moment
leaves the state before or the one after."""

import logging
import re
import time
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from slipway import home
from slipway.files import replace_text
from slipway.project import NAME
from slipway.rollout.agreement import Compared
from slipway.rollout.arms import Arm, Counters
from slipway.rollout.decision import Stage
from slipway.rollout.plan import Plan

log = logging.getLogger("slipway.rollout")


class NoRollout(LookupError):
    """The project never had one."""


class StateDamaged(Exception):
    """The file of a rollout cannot be read; the message names it."""


class Transition(BaseModel):
    """A change that was decided. It is written down before it is made, and made until done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Stage
    step: int = 0
    rule: str
    reason: str
    evidence: dict[str, Any] = {}
    at: float
    """Unix time of the decision."""


class State(BaseModel):
    """All times are Unix times."""

    # An infinite bound of slowness must come back as one.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    id: str
    project: str
    version: str
    champion: str | None
    """When it began; None when the project had none."""
    plan: Plan
    actor: str
    started: float

    stage: Stage = Stage.CHECKS
    step: int = 0
    """Of the canary, from 0."""
    entered: float
    """When the stage or step began."""
    serving_since: float | None = None
    intended: Transition | None = None
    note: str = ""
    """What it waits for, or how it ended."""

    counters: dict[str, Counters] = {}
    """By server, as they last stood."""
    seen: dict[str, float] = {}
    """By server, when it last gave figures."""
    champion_arm: Arm = Arm()
    candidate_arm: Arm = Arm()
    slow_bound: float | None = None
    steps: tuple[float, ...] = ()
    """When each canary step began."""
    compared: Compared | None = None
    within: bool = False
    """The servers were seen to run the challenger within themselves: what lies in a process of
    its own after that was moved there for a fault."""

    @property
    def over(self) -> bool:
        return self.stage.over

    @property
    def percent(self) -> float:
        """Of the requests that the version answers now."""
        return self.plan.canary[self.step] if self.stage == Stage.CANARY else 0.0


class Abort(BaseModel):
    """Somebody's wish that the rollout `id` ends; its controller looks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    actor: str
    reason: str


def folder() -> Path:
    return home.home() / "rollouts"


def lock(project: str) -> FileLock:
    """Held by the one controller that acts for a project; the kernel frees it when that dies."""
    folder().mkdir(parents=True, exist_ok=True)
    return FileLock(_file(project, ".lock"))


def load(project: str) -> State:
    """The project's rollout, running or over.

    Raises:
        NoRollout: there was none.
        StateDamaged: its file holds something else.
    """
    file = _file(project, ".json")
    try:
        return State.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise NoRollout(f"{project} has had no rollout; begin one: slipway promote") from None
    except ValidationError as error:
        told = error.errors(include_url=False)[0]
        place = ".".join(map(str, told["loc"])) or "file"
        raise StateDamaged(
            f"{file} holds no rollout of this release ({place}: {told['msg']}); see who serves "
            f"with `slipway policy show {project}`, then remove it"
        ) from error


def save(state: State) -> None:
    """On disk when this returns."""
    folder().mkdir(parents=True, exist_ok=True)
    replace_text(_file(state.project, ".json"), state.model_dump_json())


def rollouts() -> list[State]:
    """Of every project, the last one; a file that cannot be read is reported and passed over."""
    found = []
    for file in sorted(folder().glob("*.json")):
        try:
            found.append(load(file.stem))
        except StateDamaged as damaged:
            log.error("%s", damaged)
    return found


def ask_abort(state: State, *, actor: str, reason: str) -> None:
    wish = Abort(id=state.id, actor=actor, reason=reason)
    replace_text(_file(state.project, ".abort"), wish.model_dump_json())


def abort_asked(state: State) -> Abort | None:
    """The wish that this rollout ends; one that was meant for an earlier one is passed over."""
    try:
        wish = Abort.model_validate_json(_file(state.project, ".abort").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return wish if wish.id == state.id else None


def now() -> float:
    return round(time.time(), 3)


def _file(project: str, suffix: str) -> Path:
    """Raises ValueError: `project` is no project's name, and might name a file elsewhere."""
    if not re.fullmatch(NAME, project):
        raise ValueError(f"project: must match {NAME}, got {project!r}")
    return folder() / f"{project}{suffix}"
