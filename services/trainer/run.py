"""A training run: its request, its progress, its outcome, and the files in its folder."""

import re
import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.trainer.overrides import Overrides
from slipway.files import replace_text
from slipway.project import NAME
from slipway.training.labelled import FeedbackUse

ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6}")
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
STAGES = ("prepare", "fit", "evaluate", "register")


class RunState(StrEnum):
    """The state of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True if the run is over, however it ended."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


class Strict(BaseModel):
    """An immutable model without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Request(Strict):
    """A request for a training run: the body of `POST /v1/runs`."""

    project: Annotated[str, Field(pattern=NAME)]
    parameters: Overrides = Overrides()
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=ONE_LINE)]
    feedback: FeedbackUse | None = None
    """The labels from POST /v1/feedback to train on as well; None trains on no feedback."""


class RunOrder(Strict):
    """The input of the run's process at each start; the trainer writes it to a file."""

    id: str
    request: Request
    track: str
    root: Path
    """The repository."""
    records: Path
    """The prediction log."""
    rollout: bool
    feedback_needed: bool
    """Fail if feedback cannot train the project, instead of training without feedback."""
    log_bytes: int


class Promotion(Strict):
    """The promotion rule's decision."""

    promoted: bool
    reason: str
    time: str


class RunOutcome(Strict):
    """The end of a run."""

    state: RunState
    reason: str
    """One sentence, for people."""
    mlflow_run: str | None = None
    version: str | None = None
    """The registered version that holds the trained model."""
    new: bool = False
    """True if this run registered it; False if the registry already held the same bytes."""
    promotion: Promotion | None = None
    rollout: str | None = None
    """The id of the rollout that was started of the version, or why none was."""
    kept: str | None = None
    """The git ref of the run's commits."""


class RunProgress(Strict):
    """The progress of a run; its process writes it to a file."""

    attempt: int = 0
    stage: str = "begin"
    """begin, copy, feedback, prepare, fit, evaluate, register or settle."""
    done: tuple[str, ...] = ()
    """Those of the four DVC stages that are done."""
    cached: tuple[str, ...] = ()
    """Those whose results DVC already had."""
    since: float = 0.0
    """Unix time at which the stage started."""
    commit: str | None = None
    """The commit that is trained: parameters, code, and the data versions by their md5."""
    feedback: dict[str, Any] | None = None
    """The feedback it trains on: md5 of the data version, number of rows, what was left out."""

    @property
    def share(self) -> float:
        """Share of the stages that are done, 0 to 1; stages differ a lot in duration."""
        return len(self.done) / len(STAGES)


class Run(Strict):
    """A run, as the journal records it."""

    request: Request
    id: str
    trigger: Literal["request", "alert", "schedule"]
    """Nothing starts runs by schedule; journals of earlier versions hold such runs."""
    actor: str
    requested: float
    """Unix time, like `started` and `ended`."""
    state: RunState = RunState.QUEUED
    attempt: int = 0
    interruptions: int = 0
    """Attempts whose process died before it was done; those that a stop ended do not count."""
    started: float | None = None
    """Start of the last attempt."""
    ended: float | None = None
    cancelled_by: str | None = None
    """The caller who cancelled it; its state changes once its processes have ended."""
    outcome: RunOutcome | None = None
    progress: RunProgress | None = None
    """The last progress, set when the run has ended."""


def new_id() -> str:
    """Return an id for a new run; ids sort by time."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


class RunFolder:
    """The files of one run. Its process writes all of them except the order."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.order = place / "order.json"
        self.log = place / "log.txt"
        self.lock = place / "lock"
        self.output = place / "driver.txt"
        self.tree = place / "tree"
        self.feedback = place / "feedback"
        self._progress = place / "progress.json"
        self._outcome = place / "outcome.json"

    def progress(self) -> RunProgress:
        """Return the progress as last written; the default one before that."""
        try:
            return RunProgress.model_validate_json(self._progress.read_bytes())
        except (FileNotFoundError, ValidationError):
            return RunProgress()

    def outcome(self) -> RunOutcome | None:
        """Return how the run ended; None until its process has written that."""
        try:
            return RunOutcome.model_validate_json(self._outcome.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def put_progress(self, progress: RunProgress) -> None:
        """Replace the file with the run's progress."""
        replace_text(self._progress, progress.model_dump_json())

    def put_outcome(self, outcome: RunOutcome) -> None:
        """Write how the run ended."""
        replace_text(self._outcome, outcome.model_dump_json())

    def append_log(self, text: str) -> None:
        """Append a line to the log on behalf of the run's process, which has ended."""
        with self.log.open("ab") as stream:
            stream.write(stamped(text))

    def last_output(self) -> str:
        """Return the last line that the process printed outside its log: why it died."""
        try:
            return self.output.read_text(errors="replace").strip().rpartition("\n")[2][:300]
        except FileNotFoundError:
            return ""

    def last_activity(self) -> float:
        """Return the Unix time of the last log line or stage; 0 if there is none yet."""
        times = [0.0]
        for file in (self.log, self._progress):
            try:
                times.append(file.stat().st_mtime)
            except FileNotFoundError:
                continue
        return max(times)


def stamped(text: str) -> bytes:
    """Return the text as a log line with the current time."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")[:23]
    return f"{moment}Z {text}\n".encode(errors="replace")
