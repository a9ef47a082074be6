"""The state of a rollout: one file per project, replaced atomically.

A kill at any moment leaves the state before or the state after a change.
"""

import logging
import re
import time
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from services.rollout.agreement import ComparedPairs
from services.rollout.arms import Arm, Counters
from services.rollout.decision import Stage
from services.rollout.plan import RolloutPlan
from slipway import home
from slipway.files import replace_text
from slipway.project import NAME

log = logging.getLogger("services.rollout")


class NoRollout(LookupError):
    """Raised if the project never had a rollout."""


class StateDamaged(Exception):
    """Raised if the file of a rollout cannot be read; the message names it."""


class Transition(BaseModel):
    """A change of stage. It is saved before it is made, and repeated until it is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Stage
    step: int = 0
    rule: str
    reason: str
    evidence: dict[str, Any] = {}
    at: float
    """Unix time of the decision."""


class RolloutState(BaseModel):
    """The state of one rollout. All times are Unix times."""

    # An infinite `slow_bound` must survive the file.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    id: str
    project: str
    version: str
    champion: str | None
    """The champion when the rollout started; None if the project had none."""
    plan: RolloutPlan
    actor: str
    started: float

    stage: Stage = Stage.CHECKS
    step: int = 0
    """The canary step, from 0."""
    entered: float
    """When the stage or step began."""
    serving_since: float | None = None
    """When all servers served the version in this stage or step; None before."""
    intended: Transition | None = None
    """A transition that was decided and is not yet done."""
    note: str = ""
    """The condition that the rollout waits for, or how it ended."""

    counters: dict[str, Counters] = {}
    """The last values by server."""
    seen: dict[str, float] = {}
    """When each server last gave metrics."""
    champion_arm: Arm = Arm()
    candidate_arm: Arm = Arm()
    """Requests of the two versions in this stage or step."""
    slow_bound: float | None = None
    """Seconds above which a request is slow; None while unknown."""
    steps: tuple[float, ...] = ()
    """When each canary step began."""
    compared: ComparedPairs | None = None
    within: bool = False
    """True if the servers once ran the challenger in their own process. If it is in a separate one
    after that, it was moved there for a fault."""

    @property
    def over(self) -> bool:
        """True if the rollout has ended."""
        return self.stage.over

    @property
    def percent(self) -> float:
        """The percentage of requests that the version serves now."""
        return self.plan.canary[self.step] if self.stage == Stage.CANARY else 0.0


class Abort(BaseModel):
    """A request to abort the rollout `id`; its controller reads it from a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    actor: str
    reason: str


def folder() -> Path:
    """Return the folder of all rollouts' files."""
    return home.home() / "rollouts"


def lock(project: str) -> FileLock:
    """Return the lock of a project's controller; the kernel releases it if that process dies."""
    folder().mkdir(parents=True, exist_ok=True)
    return FileLock(_file(project, ".lock"))


def load(project: str) -> RolloutState:
    """Return the project's last rollout, running or over.

    Raises:
        NoRollout: the project never had one.
        StateDamaged: its file cannot be read.
    """
    file = _file(project, ".json")
    try:
        return RolloutState.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise NoRollout(f"{project} has had no rollout; start one: slipway promote") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise StateDamaged(
            f"{file} holds no rollout of this release ({place}: {first['msg']}); see which version "
            f"serves with `slipway policy show {project}`, then remove it"
        ) from error


def save(state: RolloutState) -> None:
    """Write the state; it is on disk when this returns."""
    folder().mkdir(parents=True, exist_ok=True)
    replace_text(_file(state.project, ".json"), state.model_dump_json())


def rollouts() -> list[RolloutState]:
    """Return the last rollout of every project; log and skip files that cannot be read."""
    found = []
    for file in sorted(folder().glob("*.json")):
        try:
            found.append(load(file.stem))
        except StateDamaged as damaged:
            log.error("%s", damaged)
    return found


def request_abort(state: RolloutState, *, actor: str, reason: str) -> None:
    """Ask the rollout's controller to abort it."""
    abort = Abort(id=state.id, actor=actor, reason=reason)
    replace_text(_file(state.project, ".abort"), abort.model_dump_json())


def requested_abort(state: RolloutState) -> Abort | None:
    """Return the request to abort this rollout; one for an earlier rollout is ignored."""
    try:
        abort = Abort.model_validate_json(_file(state.project, ".abort").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return abort if abort.id == state.id else None


def now() -> float:
    """Return the Unix time in milliseconds' precision."""
    return round(time.time(), 3)


def _file(project: str, suffix: str) -> Path:
    """Return the project's file with this suffix.

    Raises:
        ValueError: `project` is not a valid name, and might lead to another folder.
    """
    if not re.fullmatch(NAME, project):
        raise ValueError(f"project: must match {NAME}, got {project!r}")
    return folder() / f"{project}{suffix}"
