"""Scorings that the server does on the side: a folder each, `<id>/job.json`, kept until deleted.

Every process may ask for jobs, cancel and delete them; one runs them.
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
from slipway.files import replace_text
from slipway.scoring import progress
from slipway.scoring.progress import Progress
from slipway.scoring.tables import Format

log = logging.getLogger("slipway.jobs")

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
MOST_ATTEMPTS = 3
POLL_SECONDS = 0.1
# Somebody stops the server, and the worker has only just begun: the next attempt goes on.
STOPPED = (signal.SIGTERM, signal.SIGINT)
# Left by a process that was killed while it made or removed a job.
LEFTOVER_SECONDS = 3600
LAST_WORDS = 4096

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class UnknownJob(LookupError):
    """There is no job of that id."""


class QueueFull(Exception):
    """As many jobs wait as may."""


class NoResult(Exception):
    """The job is not done, or never will be."""


class Job(BaseModel):
    """A scoring and what became of it. Times are Unix seconds."""

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


class Place:
    """Where a job's files lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = folder / "job.json"
        self.work = folder / "work"
        self.log = folder / "log.txt"

    def source(self, job: Job) -> Path:
        return self.folder / f"source.{job.source_format}"

    def target(self, job: Job) -> Path:
        return self.folder / f"result.{job.target_format}"

    def read(self) -> Job:
        """As written; with the progress of a job that runs.

        Raises:
            UnknownJob: it is not there, or was deleted meanwhile.
        """
        try:
            job = Job.model_validate_json(self.about.read_bytes())
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
        replace_text(self.about, job.model_dump_json(indent=2))

    def clear(self, job: Job) -> None:
        """What an ended job needs no more: nearly all of its bytes."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.source(job).unlink(missing_ok=True)


class Jobs:
    """The jobs in a folder, which is made. Each call is safe beside those of other processes."""

    def __init__(self, folder: Path, *, most_waiting: int = 100) -> None:
        self.folder, self.most_waiting = folder.absolute(), most_waiting
        self.folder.mkdir(parents=True, exist_ok=True)
        # These change no more: asking again would cost a file a job, three times a second.
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
        """Queue a scoring of the file `source`, which is moved in.

        Raises:
            QueueFull: too many wait; `source` stays where it is.
            FileNotFoundError: there is no such source.
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
        self._check_room()
        new = Place(self.folder / f".new-{job.id}")
        new.folder.mkdir()
        try:
            # Outside of the lock: from another disk every byte is copied.
            shutil.move(source, new.source(job))
            with self._lock():
                try:
                    self._check_room()
                except QueueFull:
                    shutil.move(new.source(job), source)
                    raise
                new.write(job)
                new.folder.rename(self.folder / job.id)
        finally:
            shutil.rmtree(new.folder, ignore_errors=True)
        return job

    def get(self, id: str) -> Job:
        """With its progress.

        Raises:
            UnknownJob: there is none.
        """
        return self.place(id).read()

    def cancel(self, id: str) -> Job:
        """A job that has ended stays as it is.

        Raises:
            UnknownJob: there is none.
        """
        before = self.get(id)
        job = self.change(id, lambda job: _ended(job, "cancelled", job.progress))
        if before.state == "queued":  # nobody runs it, who would clear it
            self.place(id).clear(job)
        return job

    def delete(self, id: str) -> None:
        """With its result; one that runs is ended.

        Raises:
            UnknownJob: there is none.
        """
        place = self.place(id)
        gone = self.folder / f".gone-{id}"
        with self._lock():
            place.read()
            place.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self._ended.discard(id)

    def result(self, id: str) -> Path:
        """The file of a job that is done.

        Raises:
            UnknownJob: there is none.
            NoResult: it is not done.
        """
        job = self.get(id)
        if job.state != "done":
            why = f": {job.fault}" if job.fault else ""
            raise NoResult(f"job {id} has no result, it is {job.state}{why}")
        return self.place(id).target(job)

    def place(self, id: str) -> Place:
        """Where the job of that id would lie: always in the folder.

        Raises:
            UnknownJob: it is no id at all.
        """
        if not _UUID.fullmatch(id):
            shown = id if len(id) <= 40 else f"{id[:40]}..."
            raise UnknownJob(f"no job {shown!r}: an id is a UUID")
        return Place(self.folder / id)

    def change(self, id: str, how: Callable[[Job], Job]) -> Job:
        """The job as changed, unless it has ended: then as it is.

        Raises:
            UnknownJob: there is none.
        """
        place = self.place(id)
        with self._lock():
            job = place.read()
            if job.state not in ENDED:
                job = how(job)
                place.write(job)
        return job

    def unfinished(self) -> Sequence[Job]:
        """Those queued or running, the oldest first."""
        found = []
        for id in self._ids():
            if id in self._ended:
                continue
            try:
                job = self.get(id)
            except UnknownJob:
                continue
            except ValidationError as error:
                # One that cannot be read is not to hold up the others.
                log.error("job %s is left alone, its job.json is damaged: %s", id, error)
                self._ended.add(id)
                continue
            if job.state in ENDED:
                self._ended.add(id)
            else:
                found.append(job)
        return sorted(found, key=_age)

    def sweep(self) -> None:
        """Remove what killed processes left behind. For the runner, before it runs anything."""
        for job in self.list():
            if job.state in ENDED:
                self.place(job.id).clear(job)
        for folder in [*self.folder.glob(".new-*"), *self.folder.glob(".gone-*")]:
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def list(self) -> Sequence[Job]:
        """All that can be read, the oldest first."""
        found = []
        for id in self._ids():
            with suppress(UnknownJob, ValidationError):
                found.append(self.get(id))
        return sorted(found, key=_age)

    def _ids(self) -> Sequence[str]:
        return [name for name in os.listdir(self.folder) if _UUID.fullmatch(name)]

    def _check_room(self) -> None:
        waiting = sum(job.state == "queued" for job in self.unfinished())
        if waiting >= self.most_waiting:
            raise QueueFull(f"{waiting} jobs wait, no more may; try again when some have ended")

    def _lock(self) -> FileLock:
        return FileLock(self.folder / "lock")


class JobRunner:
    """Runs one job after another, each in a process of its own; one runner a folder."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._closed = threading.Event()
        # Between starting a child and knowing it, close() must wait.
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        jobs.sweep()

    def run_next(self) -> bool:
        """Run the oldest job that is queued, or that was running when its runner ended.

        False when there was none, or the runner is closed. Returns when the job has ended.
        """
        for job in self.jobs.unfinished():
            if self._closed.is_set():
                return False
            with suppress(UnknownJob):  # deleted just now
                if job.attempts >= MOST_ATTEMPTS:
                    self._fail(job.id, f"was interrupted {MOST_ATTEMPTS} times; not tried again")
                    continue
                begun = self.jobs.change(job.id, _begun)
                if begun.state == "running":
                    self._run(begun)
                    return True
        return False

    def close(self) -> None:
        """End a running child at once. Its job goes on from its parts with the next runner."""
        with self._starting:
            self._closed.set()
            if self._child and self._child.poll() is None:
                self._child.kill()

    def _run(self, job: Job) -> None:
        place = self.jobs.place(job.id)
        log.info("job %s: scores with %s v%s", job.id, job.project, job.version)
        with self._starting:
            if self._closed.is_set():
                self.jobs.change(job.id, _postponed)
                return
            self._child = child = _start(place)
        try:
            status = self._follow(child, job.id)
        finally:
            child.kill()
            child.wait()
            if child.stdin:
                child.stdin.close()
        if status is None:
            self._tidy(job.id)
        elif status == 0:
            self._settle(job.id, lambda now: _ended(now, "done", place.progress()))
        elif self._closed.is_set():
            self.jobs.change(job.id, _postponed)
        elif -status in STOPPED:
            log.warning("job %s was interrupted by %s", job.id, signal.Signals(-status).name)
        else:
            self._fail(job.id, _fault(status, place))

    def _follow(self, child: "subprocess.Popen[bytes]", id: str) -> int | None:
        """The child's exit status; None when the job was cancelled or deleted before."""
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
        self._settle(
            id, lambda job: _ended(job, "failed", job.progress).model_copy(update={"fault": why})
        )

    def _settle(self, id: str, how: Callable[[Job], Job]) -> None:
        self.jobs.change(id, how)
        self._tidy(id)

    def _tidy(self, id: str) -> None:
        with suppress(UnknownJob):
            self.jobs.place(id).clear(self.jobs.get(id))


def _start(place: Place) -> "subprocess.Popen[bytes]":
    with place.log.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "slipway.scoring.worker", str(place.folder)],
            # -m looks here first.
            cwd=Path(slipway.__file__).parents[1],
            # Never written to: it closes with this process, and the child ends then.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def _fault(status: int, place: Place) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; perhaps the memory ran out" if -status == signal.SIGKILL else ""
        return f"the scoring process was ended by {name}{hint}"
    with suppress(FileNotFoundError), place.log.open("rb") as stream:
        stream.seek(max(0, place.log.stat().st_size - LAST_WORDS))
        lines = stream.read().decode(errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        if said:
            return said[-1].strip()
    return f"the scoring process ended with {status} and said nothing"


def _begun(job: Job) -> Job:
    changes = {
        "state": "running",
        "started": job.started or time.time(),
        "attempts": job.attempts + 1,
    }
    return job.model_copy(update=changes)


def _postponed(job: Job) -> Job:
    """Stopped with the runner: that is no fault of the job, so no attempt is lost."""
    return job.model_copy(update={"state": "queued", "attempts": job.attempts - 1})


def _ended(job: Job, state: State, last: Progress | None) -> Job:
    return job.model_copy(update={"state": state, "ended": time.time(), "progress": last})


def _age(job: Job) -> tuple[float, str]:
    return job.created, job.id
