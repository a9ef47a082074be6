"""The interfaces of the engine to a kind of jobs, and to the store that keeps them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

QUEUED, RUNNING = "queued", "running"

Changes = Mapping[str, Any]
"""New values of a job's fields."""


class UnknownJob(LookupError):
    """Raised if no job has the id."""


class QueueFull(Exception):
    """Raised if the queue holds as many jobs as it may."""


class Ended(Exception):
    """Raised if a job cannot be cancelled because it has already ended."""


class Job(Protocol):
    """A job, as a store returns it."""

    @property
    def id(self) -> str:
        """Identifies the job."""

    @property
    def state(self) -> str:
        """`queued`, `running`, or another word for how it ended."""


J = TypeVar("J", bound=Job)
StoredJob = TypeVar("StoredJob", bound=Job, covariant=True)


class Store(Protocol[StoredJob]):
    """Keeps jobs on disk. Other processes may change it while an engine runs the jobs."""

    def unfinished(self) -> Sequence[StoredJob]:
        """Return the queued and running jobs, oldest first."""

    def change(self, id: str, event: str, **changes: Any) -> StoredJob:
        """Store new values of the job's fields unless it has ended; return the job.

        `event` names the reason.

        Raises:
            UnknownJob: there is no such job.
        """


@dataclass(frozen=True)
class Command:
    """The command that starts a job's process: `python -m` with these words."""

    words: Sequence[str]
    folder: Path
    """Its working directory."""
    errors: Path
    """The file to which its standard error is appended."""
    keep_output: bool = False
    """True if its standard output goes there as well; otherwise it is dropped."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables besides those of this process."""


class Kind(ABC, Generic[J]):
    """One kind of jobs: how a job's process is started, and what its end means."""

    workers: int = 1
    """Jobs in progress at the same time."""
    attempts: int
    """A job that was interrupted this often has failed."""
    end_seconds: float = 0.0
    """Time between SIGTERM and SIGKILL to the processes of a job that is stopped."""
    outlives: bool
    """True if a job's process continues when the engine is killed. The process then holds the
    lock `lock(job)` as long as it lives; otherwise it ends when its standard input closes."""

    @abstractmethod
    def command(self, job: J) -> Command:
        """Return the command of the job, which was just set to running."""

    def lock(self, job: J) -> Path:
        """Return the file that the job's process locks as long as it lives.

        Only a kind whose jobs outlive the engine has one.
        """
        raise NotImplementedError(f"{type(self).__name__}.outlives, so it needs a lock")

    def may_start(self, job: J, running: Sequence[J]) -> bool:
        """Return whether the job may run beside those."""
        return True

    def must_stop(self, job: J) -> bool:
        """Return whether the running job must be stopped: it is cancelled, or took too long."""
        return False

    @abstractmethod
    def begun(self, job: J) -> Changes:
        """Return the changes of a job that starts, besides its state."""

    @abstractmethod
    def requeued(self, job: J, *, interrupted: bool) -> Changes:
        """Return the changes of a job that is queued again, besides its state.

        It was interrupted, or this process stopped it in order to end.
        """

    @abstractmethod
    def interruptions(self, job: J) -> int:
        """Return how often the job was interrupted, the present interruption included."""

    @abstractmethod
    def outcome(self, job: J, status: int | None, *, stopped: bool) -> Changes | None:
        """Return the changes of a job whose process has ended; None if it was interrupted.

        `status` is None if the process was not a child of this one, or if this one ended it.
        `stopped` says that it was ended because it must stop.
        """

    @abstractmethod
    def given_up(self, job: J) -> Changes:
        """Return the changes of a job that has failed because it was interrupted too often."""

    def before_end(self, job: J) -> None:
        """Act before the job is recorded as ended."""

    @abstractmethod
    def after_end(self, id: str) -> None:
        """Act after the job has ended, was cancelled by another process, or was deleted."""

    @abstractmethod
    def remove_leftovers(self) -> None:
        """Remove what killed processes left."""
