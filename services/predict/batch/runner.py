"""Run batch scoring jobs one by one, each in a process of its own."""

import logging
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import slipway
from services.jobs.engine import JobEngine
from services.jobs.kind import Changes, Command, Kind, UnknownJob
from services.predict.batch.jobs import Job, JobFolder, Jobs, State
from services.predict.batch.limits import MEMORY_BYTES, STALL_SECONDS
from services.predict.batch.progress import Progress

log = logging.getLogger("slipway.jobs")

MAX_ATTEMPTS = 3
POLL_SECONDS = 0.1
# The server is stopped while the scoring process still starts: the next attempt resumes.
STOPPED = (signal.SIGTERM, signal.SIGINT)
LOG_TAIL_BYTES = 4096


class ScoringJobs(Kind[Job]):
    """Runs `services.predict.batch.worker`, whose last line of errors is why it failed."""

    attempts = MAX_ATTEMPTS
    # A part is either complete or absent, so the process can be killed at any time.
    outlives = False

    def __init__(
        self, jobs: Jobs, *, memory_bytes: int = MEMORY_BYTES, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self.jobs, self.memory_bytes, self.stall_seconds = jobs, memory_bytes, stall_seconds
        self._seen: dict[str, tuple[Progress | None, float]] = {}

    def command(self, job: Job) -> Command:
        place = self.jobs.place(job.id)
        log.info("job %s: scoring with %s v%s", job.id, job.project, job.version)
        return Command(
            ("services.predict.batch.worker", str(place.folder), str(self.memory_bytes)),
            # Python looks for the module here first.
            folder=Path(slipway.__file__).parents[1],
            errors=place.log,
        )

    def must_stop(self, job: Job) -> bool:
        """Return whether the job has made no progress for `stall_seconds`."""
        seen, since = self._seen.get(job.id, (None, 0.0))
        if job.id not in self._seen or job.progress != seen:
            self._seen[job.id] = (job.progress, time.monotonic())
            return False
        return time.monotonic() - since > self.stall_seconds

    def begun(self, job: Job) -> Changes:
        return {"started": job.started or time.time(), "attempts": job.attempts + 1}

    def requeued(self, job: Job, *, interrupted: bool) -> Changes:
        """Do not count the attempt if its runner was stopped."""
        return {"attempts": job.attempts if interrupted else job.attempts - 1}

    def interruptions(self, job: Job) -> int:
        return job.attempts

    def outcome(self, job: Job, status: int | None, *, stopped: bool) -> Changes | None:
        if stopped:
            return self._failed(job, f"made no progress for {self.stall_seconds:g} s")
        if status is None:
            return None
        if status == 0:
            return self._ended(job, "done")
        if -status in STOPPED:
            log.warning("job %s was interrupted by %s", job.id, signal.Signals(-status).name)
            return None
        return self._failed(job, _failure_reason(status, self.jobs.place(job.id)))

    def given_up(self, job: Job) -> Changes:
        return self._failed(job, f"was interrupted {job.attempts} times; not tried again")

    def _failed(self, job: Job, why: str) -> Changes:
        log.warning("job %s failed: %s", job.id, why)
        return {**self._ended(job, "failed"), "fault": why}

    def _ended(self, job: Job, state: State) -> Changes:
        progress = self.jobs.place(job.id).progress()
        return {"state": state, "ended": time.time(), "progress": progress}

    def after_end(self, id: str) -> None:
        """Delete the files that the job no longer needs."""
        self._seen.pop(id, None)
        with suppress(UnknownJob):
            self.jobs.place(id).clear(self.jobs.get(id))

    def remove_leftovers(self) -> None:
        self.jobs.sweep()


class JobRunner:
    """Runs jobs one by one. A folder has one runner."""

    def __init__(
        self, jobs: Jobs, *, memory_bytes: int = MEMORY_BYTES, stall_seconds: float = STALL_SECONDS
    ) -> None:
        kind = ScoringJobs(jobs, memory_bytes=memory_bytes, stall_seconds=stall_seconds)
        self._engine = JobEngine(jobs, kind)
        self._closed = threading.Event()
        self._engine.recover()

    @property
    def processes(self) -> list["subprocess.Popen[bytes]"]:
        """The process of the running job; empty if none runs."""
        return self._engine.processes

    def run_next(self) -> bool:
        """Run the oldest job that is queued, or was running when its runner ended, until it ends.

        Return False if there was no such job, or the runner is closed.
        """
        self._engine.turn()
        if not self.processes:
            return False
        while self.processes and not self._closed.wait(POLL_SECONDS):
            self._engine.supervise()
        return True

    def close(self) -> None:
        """Kill a running process. The next runner resumes its job from the finished parts."""
        self._engine.stop()
        self._closed.set()


def _failure_reason(status: int, place: JobFolder) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        hint = ", possibly out of memory" if -status == signal.SIGKILL else ""
        return f"the scoring process was ended by {name}{hint}"
    with suppress(FileNotFoundError), place.log.open("rb") as stream:
        stream.seek(max(0, place.log.stat().st_size - LOG_TAIL_BYTES))
        lines = stream.read().decode(errors="replace").split("\n")
        messages = [line for line in lines if line.strip()]
        if messages:
            return messages[-1].strip()
    return f"the scoring process ended with status {status} and no message"
