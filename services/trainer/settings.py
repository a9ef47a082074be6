"""What can be set of the trainer, each by a variable of the environment."""

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
    """Runs in progress at once; of one project never more than one."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Runs that may wait; more are refused."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """A run that was interrupted so often has failed."""
    run_seconds: Seconds = 6 * 3600.0
    """A run that takes longer is ended, and has failed."""
    end_seconds: Seconds = 10.0
    """What a run's processes get to end when they are asked; then they are killed."""
    keep_runs: Annotated[int, Field(ge=1)] = 500
    """Logs and commits of so many ended runs are kept; of all others the facts."""
    log_bytes: Annotated[int, Field(ge=1024)] = 16 * 2**20
    """Of one run; what a run says beyond is not kept."""
    body_bytes: Annotated[int, Field(ge=1024)] = 2**20

    automatic: bool = True
    """Whether alerts start runs."""
    cooldown_seconds: Annotated[float, Field(ge=0)] = 6 * 3600.0
    """From the end of a project's last run until an alert may start one again."""
    runs_per_day: Annotated[int, Field(ge=0)] = 8
    """Automatic runs in any 24 hours, of all projects together."""
    feedback: bool = True
    """Whether automatic runs are trained on feedback as well."""
    feedback_days: Annotated[float, Field(gt=0, le=3650)] = 30
    feedback_test_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Of an automatic run's feedback, the part that joins the test rows; none unless it is set."""
    monitor: str = ""
    """Address of the monitor service; by default on loopback at its port."""
    monitor_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How often the monitor is asked for alarms, where no Alertmanager tells of them; 0 is off."""

    rollout: bool = False
    """Do not promote a candidate at once: hand it to the rollout, which tries it on traffic."""

    @property
    def folder(self) -> Path:
        """The journal, and a folder for each run."""
        return home.home() / "trainer"

    @property
    def monitor_address(self) -> str:
        return self.monitor or f"http://{home.LOOPBACK}:{home.port('monitor')}"
