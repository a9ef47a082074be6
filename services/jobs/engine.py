"""Start queued jobs, each in a process of its own, supervise them, and record how they ended."""

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Generic

from filelock import FileLock, Timeout

from services.jobs import process_tree
from services.jobs.kind import QUEUED, RUNNING, Changes, J, Kind, Store, UnknownJob

log = logging.getLogger("slipway.jobs")

LOOP_SECONDS = 0.2


class JobEngine(Generic[J]):
    """Runs the jobs of one store, which no other engine runs.

    All methods may be called from any thread. `lock` is held during each change, so a caller who
    holds it sees the queue at rest.
    """

    def __init__(self, store: Store[J], kind: Kind[J]) -> None:
        self.store, self.kind = store, kind
        self.lock = threading.RLock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stop_requested: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """Recover, and work through the queue in a thread of this name until `stop`."""
        self.recover()
        self._thread = threading.Thread(target=self._run_loop, name=name, daemon=True)
        self._thread.start()

    @property
    def turning(self) -> bool:
        """True if the thread that starts and supervises jobs is alive."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """True if `stop` was called."""
        return self._stopping.is_set()

    @property
    def processes(self) -> list["subprocess.Popen[bytes]"]:
        """The processes of running jobs that this engine started."""
        return list(self._processes.values())

    def recover(self) -> None:
        """Adopt the jobs whose process lives on after an earlier engine was killed."""
        with self.lock:
            for job in self._running():
                if self._alive(job):
                    log.info("job %s is still in progress: adopted", job.id)
                    self.store.change(job.id, "adopted")
            self.kind.remove_leftovers()

    def stop(self) -> None:
        """End the processes of running jobs; the next engine resumes the jobs."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
        with self.lock:
            for job in self._running():
                with suppress(UnknownJob):
                    self._stop_job(job)

    def turn(self) -> None:
        """Record what has ended, and start queued jobs, oldest first, as far as workers allow."""
        with self.lock:
            self.supervise()
            if not self.stopping:
                self._start_queued()

    def supervise(self) -> None:
        """Record which jobs have ended, and stop those that must stop."""
        with self.lock:
            running = self._running()
            # Another process has cancelled or deleted these.
            for id in self._processes.keys() - {job.id for job in running}:
                self._end_processes(id)
                self._stop_requested.pop(id, None)
                self.kind.after_end(id)
            for job in running:
                with suppress(UnknownJob):
                    if self._alive(job):
                        self._enforce(job)
                    else:
                        self._settle(job)

    def _running(self) -> list[J]:
        return [job for job in self.store.unfinished() if job.state == RUNNING]

    def _run_loop(self) -> None:
        while not self._stopping.wait(LOOP_SECONDS):
            try:
                self.turn()
            except Exception:
                log.exception("the queue could not be processed; will retry")
                time.sleep(1)

    def _start_queued(self) -> None:
        unfinished = self.store.unfinished()
        running = [job for job in unfinished if job.state == RUNNING]
        for job in unfinished:
            if len(running) >= self.kind.workers:
                return
            if job.state == QUEUED and self.kind.may_start(job, running):
                with suppress(UnknownJob):
                    begun = self.store.change(
                        job.id, "started", state=RUNNING, **self.kind.begun(job)
                    )
                    # Another process may have cancelled it meanwhile.
                    if begun.state == RUNNING:
                        running.append(begun)
                        self._spawn(begun)

    def _spawn(self, job: J) -> None:
        command, outlives = self.kind.command(job), self.kind.outlives
        with command.errors.open("ab") as errors:
            self._processes[job.id] = subprocess.Popen(
                [sys.executable, "-m", *command.words],
                cwd=command.folder,
                env={**os.environ, **command.environment, process_tree.MARK: job.id},
                # The pipe is never written to: it closes when this process ends.
                stdin=subprocess.DEVNULL if outlives else subprocess.PIPE,
                stdout=errors if command.keep_output else subprocess.DEVNULL,
                stderr=errors,
                start_new_session=outlives,
            )

    def _alive(self, job: J) -> bool:
        """Return whether the job's first process lives."""
        if process := self._processes.get(job.id):
            return process.poll() is None
        if not self.kind.outlives:
            return False
        try:
            with FileLock(self.kind.lock(job), timeout=0):
                return False
        except Timeout:
            return True

    def _enforce(self, job: J) -> None:
        if not self.kind.must_stop(job):
            return
        since = self._stop_requested.setdefault(job.id, time.monotonic())
        if time.monotonic() - since > self.kind.end_seconds:
            process_tree.kill(job.id)
        else:
            process_tree.terminate(job.id)

    def _settle(self, job: J) -> None:
        """Record how the job ended, or queue it again if its process died before it was done."""
        process = self._processes.pop(job.id, None)
        status = _reap(process) if process else None
        process_tree.kill(job.id)
        if job.id in self._stop_requested:
            # psutil may have read the status before subprocess could.
            status = None
        outcome = self._outcome(job, status)
        if outcome is not None:
            self.finish(job, outcome)
        elif self.kind.interruptions(job) >= self.kind.attempts:
            self.finish(job, self.kind.given_up(job))
        else:
            log.warning("job %s was interrupted; it will be restarted", job.id)
            changes = self.kind.requeued(job, interrupted=True)
            self.store.change(job.id, "interrupted", state=QUEUED, **changes)

    def _stop_job(self, job: J) -> None:
        status = self._end_processes(job.id)
        # Another status tells how the process was ended here.
        outcome = self._outcome(job, 0 if status == 0 else None)
        if outcome is not None:
            self.finish(job, outcome)
        else:
            changes = self.kind.requeued(job, interrupted=False)
            self.store.change(job.id, "stopped", state=QUEUED, **changes)

    def _outcome(self, job: J, status: int | None) -> Changes | None:
        return self.kind.outcome(job, status, stopped=job.id in self._stop_requested)

    def finish(self, job: J, outcome: Changes) -> J:
        """Record the end of a job that has no process."""
        with self.lock:
            self.kind.before_end(job)
            job = self.store.change(job.id, str(outcome["state"]), **outcome)
            self._stop_requested.pop(job.id, None)
            self.kind.after_end(job.id)
            return job

    def _end_processes(self, id: str) -> int | None:
        """End the job's processes; return the first one's exit status if this process has it."""
        process_tree.terminate(id)
        deadline = time.monotonic() + self.kind.end_seconds
        while process_tree.members(id) and time.monotonic() < deadline:
            time.sleep(0.05)
        status = None
        if process := self._processes.pop(id, None):
            process.kill()
            status = _reap(process)
        process_tree.kill(id)
        return status


def _reap(process: "subprocess.Popen[bytes]") -> int:
    """Return the exit status of a process that has ended, and close the pipe to it."""
    status = process.wait()
    if process.stdin:
        process.stdin.close()
    return status
