"""Batch scoring jobs of the server. Each has a folder, `<id>/job.json`, kept until deleted.

Any process can create, cancel and delete jobs; one process runs them.
"""

import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.jobs.kind import QueueFull, UnknownJob
from services.predict.batch import progress
from services.predict.batch.formats import TableFormat, TargetFormat, UploadFormat
from services.predict.batch.progress import Progress
from slipway.files import replace_text

log = logging.getLogger("slipway.jobs")

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
# The age of files left by a process that was killed while it created or deleted a job.
LEFTOVER_SECONDS = 3600

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


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
    source_format: UploadFormat
    target_format: TargetFormat
    rows_format: TableFormat = Field(default="jsonl", description="The table in an archive")
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
        source_format: UploadFormat,
        target_format: TargetFormat,
        rows_format: TableFormat = "jsonl",
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
            rows_format=rows_format,
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
        last = before.progress
        job = self.change(id, "cancelled", state="cancelled", ended=time.time(), progress=last)
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

    def change(self, id: str, event: str, **changes: Any) -> Job:
        """Store new values of the job's fields unless it has ended; return the job.

        Raises:
            UnknownJob: there is no such job.
        """
        place = self.place(id)
        with self._lock():
            job = place.read()
            if job.state not in ENDED:
                job = job.model_copy(update=changes)
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


def _age(job: Job) -> tuple[float, str]:
    return job.created, job.id
