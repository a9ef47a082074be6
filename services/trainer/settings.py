"""The trainer's settings, each from an environment variable."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from services import settings
from slipway import home

Seconds = Annotated[float, Field(gt=0)]


class Settings(settings.Settings):
    """`SLIPWAY_TRAINER_WORKERS=2` sets `workers`, and so on."""

    prefix = "SLIPWAY_TRAINER_"

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Runs in progress at the same time; never more than one of a project."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Queued runs; requests beyond that are refused."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """A run that was interrupted this often has failed."""
    run_seconds: Seconds = 6 * 3600.0
    """A run that takes longer is stopped, and has failed."""
    end_seconds: Seconds = 10.0
    """Time between SIGTERM and SIGKILL to the processes of a run that is stopped."""
    keep_runs: Annotated[int, Field(ge=1)] = 500
    """Logs and commits are kept of this many ended runs; of older ones only the journal."""
    log_bytes: Annotated[int, Field(ge=1024)] = 16 * 2**20
    """Length of one run's log; what the run prints beyond that is dropped."""
    body_bytes: Annotated[int, Field(ge=1024)] = 2**20
    """Length of a request's body."""

    automatic: bool = True
    """True if alerts start runs."""
    cooldown_seconds: Annotated[float, Field(ge=0)] = 6 * 3600.0
    """Time from the end of a project's last run until an alert may start another."""
    runs_per_day: Annotated[int, Field(ge=0)] = 8
    """Automatic runs in any 24 hours, over all projects."""
    feedback: bool = True
    """True if automatic runs also train on the labels from feedback."""
    wait_for_labels: bool = True
    """An alert starts no run before labels have come since the project's last run: with the same
    rows, training gives the same model. Without `feedback` it does not wait."""
    feedback_days: Annotated[float, Field(gt=0, le=3650)] = 30
    """The days of feedback that automatic runs take."""
    feedback_test_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Part of an automatic run's feedback that becomes test rows instead of training rows."""

    rollout: bool = False
    """Do not promote a candidate immediately: start a rollout, which tests it on real traffic."""

    @property
    def folder(self) -> Path:
        """Holds the journal, and a folder for each run."""
        return home.home() / "trainer"
