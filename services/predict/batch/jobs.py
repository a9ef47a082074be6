"""Batch scoring jobs of the server. Each has a folder, `<id>/job.json`, kept until deleted.

Any process can create, cancel and delete jobs; one process runs them.
"""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import slipway
from services.predict.batch import progress
from services.predict.batch.progress import Progress
from services.predict.batch.tables import Format
from slipway.files import replace_text

log = logging.getLogger("slipway.jobs")

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
MAX_ATTEMPTS = 3
POLL_SECONDS = 0.1
# The server is stopped while the scoring process still starts: the next attempt resumes.
STOPPED = (signal.SIGTERM, signal.SIGINT)
# The age of files left by a process that was killed while it created or deleted a job.
LEFTOVER_SECONDS = 3600
LOG_TAIL_BYTES = 4096

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class UnknownJob(LookupError):
    """Raised when there is no job with that id."""


class QueueFull(Exception):
    """Raised when the maximum number of jobs is queued."""


class NoResult(Exception):
    """Raised when a job has no result: it is not done, failed, or was cancelled."""


class Job(BaseModel):
    """A batch scoring job and its state. Times are Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    project: str
    version: str
    digest: str
    model_folder: Path
    source_format: Format
    target_format: Format
    keep: list[str] = []
    state: State = "queued"
    created: float
    started: float | None = None
    ended: float | None = None
    attempts: int = Field(default=0, ge=0)
    fault: str | None = Field(default=None, description="Why it failed")
    progress: Progress | None = None


class JobFolder:
    """The paths of a job's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job_file = folder / "job.json"
        self.work = folder / "work"
        self.log = folder / "log.txt"

    def source(self, job: Job) -> Path:
        return self.folder / f"source.{job.source_format}"

    def target(self, job: Job) -> Path:
        return self.folder / f"result.{job.target_format}"

    def read(self) -> Job:
        """Return the job, with the current progress if it is running.

        Raises:
            UnknownJob: the job does not exist, or was deleted meanwhile.
        """
        try:
            job = Job.model_validate_json(self.job_file.read_bytes())
        except FileNotFoundError:
            raise UnknownJob(f"no job {self.folder.name}") from None
        if job.state in ENDED:
            return job
        return job.model_copy(update={"progress": self.progress()})

    def progress(self) -> Progress | None:
        try:
            return Progress.model_validate_json((self.work / progress.FILE).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, job: Job) -> None:
        replace_text(self.job_file, job.model_dump_json(indent=2))

    def clear(self, job: Job) -> None:
        """Delete the files that an ended job no longer needs: nearly all of its bytes."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.source(job).unlink(missing_ok=True)


class Jobs:
    """The jobs in a folder, which is created. Processes can use it concurrently."""

    def __init__(self, folder: Path, *, max_waiting: int = 100) -> None:
        self.folder, self.max_waiting = folder.absolute(), max_waiting
        self.folder.mkdir(parents=True, exist_ok=True)
        # Ended jobs no longer change; reading them again would cost a file each, three times a
        # second.
        self._ended: set[str] = set()

    def create(
        self,
        *,
        project: str,
        version: str,
        digest: str,
        model_folder: Path,
        source: Path,
        source_format: Format,
        target_format: Format,
        keep: Sequence[str] = (),
    ) -> Job:
        """Queue a job that scores the file `source`, which is moved into the job's folder.

        Raises:
            QueueFull: too many jobs are queued; `source` stays where it is.
            FileNotFoundError: `source` does not exist.
        """
        job = Job(
            id=str(uuid.uuid4()),
            project=project,
            version=version,
            digest=digest,
            model_folder=model_folder.absolute(),
            source_format=source_format,
            target_format=target_format,
            keep=list(keep),
            created=time.time(),
        )
        if not source.is_file():
            raise FileNotFoundError(f"{source}: no such file")
        self._check_queue()
        new = JobFolder(self.folder / f".new-{job.id}")
        new.folder.mkdir()
        try:
            # Outside the lock: a move from another disk copies every byte.
            shutil.move(source, new.source(job))
            with self._lock():
                try:
                    self._check_queue()
                except QueueFull:
                    shutil.move(new.source(job), source)
                    raise
                new.write(job)
                new.folder.rename(self.folder / job.id)
        finally:
            shutil.rmtree(new.folder, ignore_errors=True)
        return job

    def get(self, id: str) -> Job:
        """Return the job, with its progress.

        Raises:
            UnknownJob: there is no such job.
        """
        return self.place(id).read()

    def cancel(self, id: str) -> Job:
        """Cancel the job, unless it has ended; return it.

        Raises:
            UnknownJob: there is no such job.
        """
        before = self.get(id)
        job = self.change(id, lambda job: _ended(job, "cancelled", job.progress))
        if before.state == "queued":  # no runner will clear its files
            self.place(id).clear(job)
        return job

    def delete(self, id: str) -> None:
        """Delete the job and its result; a running job is stopped.

        Raises:
            UnknownJob: there is no such job.
        """
        place = self.place(id)
        trash = self.folder / f".gone-{id}"
        with self._lock():
            place.read()
            place.folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
        self._ended.discard(id)

    def result(self, id: str) -> Path:
        """Return the result file of a job that is done.

        Raises:
            UnknownJob: there is no such job.
            NoResult: the job is not done.
        """
        job = self.get(id)
        if job.state != "done":
            why = f": {job.fault}" if job.fault else ""
            raise NoResult(f"job {id} has no result, it is {job.state}{why}")
        return self.place(id).target(job)

    def place(self, id: str) -> JobFolder:
        """Return the folder of the job with that id, whether or not it exists.

        Raises:
            UnknownJob: the text is not an id.
        """
        if not _UUID.fullmatch(id):
            shown = id if len(id) <= 40 else f"{id[:40]}..."
            raise UnknownJob(f"no job {shown!r}: an id is a UUID")
        return JobFolder(self.folder / id)

    def change(self, id: str, update: Callable[[Job], Job]) -> Job:
        """Apply `update` to the job, unless it has ended; return the job.

        Raises:
            UnknownJob: there is no such job.
        """
        place = self.place(id)
        with self._lock():
            job = place.read()
            if job.state not in ENDED:
                job = update(job)
                place.write(job)
        return job

    def unfinished(self) -> Sequence[Job]:
        """Return the queued and running jobs, the oldest first."""
        found = []
        for id in self._ids():
            if id in self._ended:
                continue
            try:
                job = self.get(id)
            except UnknownJob:
                continue
            except ValidationError as error:
                # A job that cannot be read must not block the others.
                log.error("job %s is skipped, its job.json is damaged: %s", id, error)
                self._ended.add(id)
                continue
            if job.state in ENDED:
                self._ended.add(id)
            else:
                found.append(job)
        return sorted(found, key=_age)

    def sweep(self) -> None:
        """Remove the leftovers of killed processes. The runner calls this before it runs a job."""
        for job in self.list():
            if job.state in ENDED:
                self.place(job.id).clear(job)
        for folder in [*self.folder.glob(".new-*"), *self.folder.glob(".gone-*")]:
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def list(self) -> Sequence[Job]:
        """Return all readable jobs, the oldest first."""
        found = []
        for id in self._ids():
            with suppress(UnknownJob, ValidationError):
                found.append(self.get(id))
        return sorted(found, key=_age)

    def _ids(self) -> Sequence[str]:
        return [name for name in os.listdir(self.folder) if _UUID.fullmatch(name)]

    def _check_queue(self) -> None:
        waiting = sum(job.state == "queued" for job in self.unfinished())
        if waiting >= self.max_waiting:
            raise QueueFull(
                f"{waiting} jobs are queued, the maximum; try again when some have ended"
            )

    def _lock(self) -> FileLock:
        return FileLock(self.folder / "lock")


class JobRunner:
    """Runs jobs one by one, each in a process of its own. A folder has one runner."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._closed = threading.Event()
        # close() must not run between starting the child and storing it.
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        jobs.sweep()

    def run_next(self) -> bool:
        """Run the oldest job that is queued, or was running when its runner ended, until it ends.

        Return False if there was no such job, or the runner is closed.
        """
        for job in self.jobs.unfinished():
            if self._closed.is_set():
                return False
            with suppress(UnknownJob):  # deleted just now
                if job.attempts >= MAX_ATTEMPTS:
                    self._fail(job.id, f"was interrupted {MAX_ATTEMPTS} times; not tried again")
                    continue
                started = self.jobs.change(job.id, _started)
                if started.state == "running":
                    self._run(started)
                    return True
        return False

    def close(self) -> None:
        """Kill a running child. The next runner resumes its job from the finished parts."""
        with self._starting:
            self._closed.set()
            if self._child and self._child.poll() is None:
                self._child.kill()

    def _run(self, job: Job) -> None:
        place = self.jobs.place(job.id)
        log.info("job %s: scoring with %s v%s", job.id, job.project, job.version)
        with self._starting:
            if self._closed.is_set():
                self.jobs.change(job.id, _requeued)
                return
            self._child = child = _start(place)
        try:
            status = self._wait(child, job.id)
        finally:
            child.kill()
            child.wait()
            if child.stdin:
                child.stdin.close()
        if status is None:
            self._clear(job.id)
        elif status == 0:
            self._end(job.id, lambda now: _ended(now, "done", place.progress()))
        elif self._closed.is_set():
            self.jobs.change(job.id, _requeued)
        elif -status in STOPPED:
            log.warning("job %s was interrupted by %s", job.id, signal.Signals(-status).name)
        else:
            self._fail(job.id, _failure_reason(status, place))

    def _wait(self, child: "subprocess.Popen[bytes]", id: str) -> int | None:
        """Return the child's exit status, or None once the job was cancelled or deleted."""
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(POLL_SECONDS)
            try:
                if self.jobs.get(id).state != "running":
                    return None
            except UnknownJob:
                return None

    def _fail(self, id: str, why: str) -> None:
        log.warning("job %s failed: %s", id, why)
        self._end(
            id, lambda job: _ended(job, "failed", job.progress).model_copy(update={"fault": why})
        )

    def _end(self, id: str, update: Callable[[Job], Job]) -> None:
        self.jobs.change(id, update)
        self._clear(id)

    def _clear(self, id: str) -> None:
        with suppress(UnknownJob):
            self.jobs.place(id).clear(self.jobs.get(id))


def _start(place: JobFolder) -> "subprocess.Popen[bytes]":
    with place.log.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "services.predict.batch.worker", str(place.folder)],
            # Python looks for the module here first.
            cwd=Path(slipway.__file__).parents[1],
            # Never written to: when this process ends the pipe closes, and so the child ends.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


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


def _started(job: Job) -> Job:
    changes = {
        "state": "running",
        "started": job.started or time.time(),
        "attempts": job.attempts + 1,
    }
    return job.model_copy(update=changes)


def _requeued(job: Job) -> Job:
    """Queue the job again without counting the attempt, since its runner was stopped."""
    return job.model_copy(update={"state": "queued", "attempts": job.attempts - 1})


def _ended(job: Job, state: State, last: Progress | None) -> Job:
    return job.model_copy(update={"state": state, "ended": time.time(), "progress": last})


def _age(job: Job) -> tuple[float, str]:
    return job.created, job.id
