"""A training run: what was asked for, how far it is, and what came of it."""

import re
import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.files import replace_text
from slipway.project import NAME
from slipway.retraining.labelled import FeedbackUse
from slipway.retraining.overrides import Overrides

ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6}")
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
STAGES = ("prepare", "fit", "evaluate", "register")


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Request(Strict):
    """What somebody wants trained."""

    project: Annotated[str, Field(pattern=NAME)]
    parameters: Overrides = Overrides()
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=ONE_LINE)]
    feedback: FeedbackUse | None = None
    """Truths from POST /v1/feedback to train on as well; none are unless this is given."""


class Order(Strict):
    """What the run's own process is told, in a file: all that it needs to begin again."""

    id: str
    request: Request
    track: str
    root: Path
    """The repository."""
    records: Path
    """The prediction log."""
    rollout: bool
    feedback_needed: bool
    """Fail where feedback cannot train the project, rather than go on without and say so."""
    log_bytes: int


class Promotion(Strict):
    """What the promotion rule decided."""

    promoted: bool
    reason: str
    time: str


class Outcome(Strict):
    """What came of a run."""

    state: State
    reason: str
    """In a sentence: for people."""
    mlflow_run: str | None = None
    version: str | None = None
    """The registered version that holds what was trained."""
    new: bool = False
    """Whether this run registered it; not when the same bytes were there already."""
    promotion: Promotion | None = None
    rollout: str | None = None
    """What became of handing it over to the rollout."""
    kept: str | None = None
    """The git name of the run's commits."""


class Progress(Strict):
    """Written by the run's process, for whoever asks."""

    attempt: int = 0
    stage: str = "begin"
    """copy, feedback, prepare, fit, evaluate, register, settle."""
    done: tuple[str, ...] = ()
    """Of the four stages."""
    cached: tuple[str, ...] = ()
    """Those of them that DVC had the results of already."""
    since: float = 0.0
    """Unix time at which the stage began."""
    commit: str | None = None
    """Of what is trained: parameters, code, and the data versions by their md5."""
    feedback: dict[str, Any] | None = None
    """Which feedback it is trained on: md5 of the data version, rows, and what was left out."""

    @property
    def share(self) -> float:
        """Of the stages done, 0 to 1; stages take very different times."""
        return len(self.done) / len(STAGES)


class Run(Strict):
    """As the journal tells it."""

    request: Request
    id: str
    trigger: Literal["request", "alert", "schedule"]
    actor: str
    requested: float
    """Unix time, as are the others."""
    state: State = State.QUEUED
    attempt: int = 0
    interruptions: int = 0
    """Attempts that ended by themselves before they were done; those of a restart do not count."""
    started: float | None = None
    """Of the last attempt."""
    ended: float | None = None
    cancelled_by: str | None = None
    """Somebody wants it cancelled; it is, once its processes have ended."""
    outcome: Outcome | None = None
    progress: Progress | None = None
    """The last one, once it has ended."""


def new_id() -> str:
    """In the order of time."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


class Folder:
    """The files of one run; its own process writes all but the order."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.order = place / "order.json"
        self.log = place / "log.txt"
        self.lock = place / "lock"
        self.words = place / "driver.txt"
        self.tree = place / "tree"
        self.feedback = place / "feedback"
        self._progress = place / "progress.json"
        self._outcome = place / "outcome.json"

    def progress(self) -> Progress:
        try:
            return Progress.model_validate_json(self._progress.read_bytes())
        except (FileNotFoundError, ValidationError):
            return Progress()

    def outcome(self) -> Outcome | None:
        """None as long as the run has not come to an end by itself."""
        try:
            return Outcome.model_validate_json(self._outcome.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def put_progress(self, progress: Progress) -> None:
        replace_text(self._progress, progress.model_dump_json())

    def put_outcome(self, outcome: Outcome) -> None:
        replace_text(self._outcome, outcome.model_dump_json())

    def say(self, told: str) -> None:
        """A line of the log, for what the run's process cannot tell any more."""
        with self.log.open("ab") as stream:
            stream.write(stamped(told))

    def last_words(self) -> str:
        """Of the run's process outside its log: why it died."""
        try:
            return self.words.read_text(errors="replace").strip().rpartition("\n")[2][:300]
        except FileNotFoundError:
            return ""

    def last_sign(self) -> float:
        """Unix time of the last line or stage; 0 if there is none yet."""
        times = [0.0]
        for file in (self.log, self._progress):
            try:
                times.append(file.stat().st_mtime)
            except FileNotFoundError:
                continue
        return max(times)


def stamped(told: str) -> bytes:
    """A line with its time."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")[:23]
    return f"{moment}Z {told}\n".encode(errors="replace")
