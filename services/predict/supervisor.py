"""The supervisor starts the workers and the registry sync, and restarts those that end.

Run it with `python -m services.predict`. It handles these signals:

    SIGTERM, SIGINT   each worker finishes the requests it has, then every process ends
    SIGHUP            the workers are replaced one by one; each new worker is ready first

The listening socket belongs to this process, so connections wait while workers are replaced.
"""

import logging
import mmap
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import psutil
from prometheus_client import Counter
from prometheus_client.multiprocess import mark_process_dead

from services.predict import watch
from services.predict.readiness import Slots
from services.predict.settings import Settings
from services.predict.worker_env import BEAT, LISTEN, PARENT, READY, SLOT, STATES
from services.web import logs
from services.web.guard import Unguarded, ensure_guarded
from services.zero_init import initialize_series
from slipway import home
from slipway.access.scopes import Scope

log = logging.getLogger("slipway.supervisor")

LOOP_SECONDS = 0.1
MEMORY_CHECK_SECONDS = 5.0
BACKLOG = 4096
# Extra time for a worker until its event loop first runs. With four busy processes a core, the
# imports took more than 20 s; a worker that is killed meanwhile begins again, and never ends them.
START_SECONDS = 60.0
# A worker that seems stuck is checked again after two of its heartbeats: if this process was
# suspended together with its workers, all of them seem stuck when it wakes up.
CONFIRM_SECONDS = 0.5
# A worker that ends right after its start is restarted with a delay.
BACKOFF_SECONDS, LONGEST_BACKOFF = 0.5, 10.0
# Signals that blame the code that ran.
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}

# Defined here, not with the workers' metrics: importing those would register this process as a
# worker.
RESTARTS = Counter("slipway_worker_restarts", "Workers that ended on their own", ["reason"])
# SIGKILL: stuck, or out of memory. The other signals: a crash. Status 1: a Python exception.
REASONS = (*sorted(each.name for each in (signal.SIGKILL, *CRASHES)), "status 1")


@dataclass
class Worker:
    """A worker process as the supervisor sees it."""

    process: "subprocess.Popen[bytes]"
    page: mmap.mmap
    ready: int
    """The read end of the pipe on which the worker reports that it is ready."""
    slot: int
    """The index of its byte in the readiness page."""
    started: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    suspected_since: float | None = None
    leaving_since: float | None = None
    successor_of: "Worker | None" = None

    def __post_init__(self) -> None:
        self._heartbeat = watch.Heartbeat(self.page)
        self._last_beat = self.started

    @property
    def leaving(self) -> bool:
        return self.leaving_since is not None

    def stalled_for(self, now: float) -> float:
        """Return the seconds since the worker's event loop last ran.

        A heartbeat time before the worker's start or after `now` is ignored and the previous one
        counts: a model's code runs in the worker and can write anywhere in its memory.
        """
        beat = self._heartbeat.last
        if self._last_beat <= beat <= now:
            self._last_beat = beat
        return now - self._last_beat

    def is_stuck(self, now: float, limit: float) -> bool:
        """Return whether two checks in a row found it stalled for longer than `limit`."""
        if self.stalled_for(now) <= limit:
            self.suspected_since = None
            return False
        if self.suspected_since is None:
            self.suspected_since = now
        return now - self.suspected_since >= CONFIRM_SECONDS


class Supervisor:
    """Keeps the configured number of workers and one registry sync process running."""

    def __init__(self, settings: Settings, port: int) -> None:
        initialize_series(RESTARTS, REASONS)
        self.settings = settings
        self.listening = listen(settings.host, port)
        self.slots = Slots()
        self.metrics = os.environ["PROMETHEUS_MULTIPROC_DIR"]
        self.workers: list[Worker] = []
        self.registry_sync: subprocess.Popen[bytes] | None = None
        self.registry_sync_backoff = Backoff()
        self.backoff = Backoff()
        self.stopping = False
        self._to_replace: list[Worker] = []
        self._memory_checked = 0.0

    def run(self) -> int:
        """Run until a signal stops it, then return the exit status."""
        settings = self.settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._signals = _signal_pipe()
        log.info("listening on %s:%d", *self.listening.getsockname()[:2])
        while not self._done():
            self._handle_signals()
            self._reap()
            self._promote_ready()
            if not self.stopping:
                self._ensure_registry_sync()
                self._ensure_worker_count()
                self._kill_stuck()
                self._replace_oversized()
                self._replace_next()
            else:
                self._kill_overdue()
        self._stop_registry_sync()
        return 0

    def _done(self) -> bool:
        return self.stopping and not self.workers

    def _handle_signals(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            for worker in self.workers:
                if not worker.is_ready:
                    selector.register(worker.ready, selectors.EVENT_READ)
            selector.select(LOOP_SECONDS)
        for number in _received_signals(self._signals):
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stopping = True
                for worker in self.workers:
                    self._dismiss(worker)
            elif number == signal.SIGHUP:
                log.info("replacing the workers, one by one")
                self._to_replace = [each for each in self.workers if not each.leaving]

    def _start_worker(self, successor_of: Worker | None = None) -> None:
        readable, writable = os.pipe()
        with tempfile.TemporaryFile() as shared:
            shared.truncate(watch.PAGE)
            page = watch.page(shared.fileno())
            slot = self.slots.take()
            descriptors = {
                LISTEN: self.listening.fileno(),
                BEAT: shared.fileno(),
                READY: writable,
                STATES: self.slots.descriptor,
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "services.predict.worker"],
                env={
                    **os.environ,
                    **{name: str(number) for name, number in descriptors.items()},
                    PARENT: str(os.getpid()),
                    SLOT: str(slot),
                },
                pass_fds=tuple(descriptors.values()),
                stdin=subprocess.DEVNULL,
            )
        os.close(writable)
        os.set_blocking(readable, False)
        self.workers.append(Worker(process, page, readable, slot, successor_of=successor_of))

    def _ensure_worker_count(self) -> None:
        remaining = [each for each in self.workers if not each.leaving and not each.successor_of]
        missing = self.settings.workers - len(remaining)
        if missing > 0 and self.backoff.over():
            for _ in range(missing):
                self._start_worker()

    def _promote_ready(self) -> None:
        for worker in self.workers:
            if worker.is_ready:
                continue
            try:
                ready = os.read(worker.ready, 1)
            except BlockingIOError:
                continue
            if ready:
                worker.is_ready = True
                self.backoff.reset()
                log.info(
                    "worker %d is ready after %.2f s",
                    *(worker.process.pid, time.monotonic() - worker.started),
                )
                if worker.successor_of:
                    self._dismiss(worker.successor_of)
                    worker.successor_of = None

    def _replace_next(self) -> None:
        """Start the next replacement unless one is in progress."""
        self._to_replace = [each for each in self._to_replace if each in self.workers]
        in_progress = any(each.successor_of or each.leaving for each in self.workers)
        if self._to_replace and not in_progress:
            self._start_worker(successor_of=self._to_replace.pop(0))

    def _dismiss(self, worker: Worker) -> None:
        if not worker.leaving:
            worker.leaving_since = time.monotonic()
            worker.process.terminate()

    def _kill_overdue(self) -> None:
        limit = self.settings.drain_seconds + 5
        for worker in self.workers:
            if worker.leaving_since and time.monotonic() - worker.leaving_since > limit:
                worker.process.kill()

    def _reap(self) -> None:
        for worker in list(self.workers):
            status = worker.process.poll()
            if status is None:
                continue
            self.workers.remove(worker)
            os.close(worker.ready)
            self.slots.free(worker.slot)
            for other in self.workers:
                if other.successor_of is worker:
                    other.successor_of = None
            self._drop_gauges(worker.process.pid)
            if worker.leaving and status == 0:
                continue
            if worker.leaving:
                log.error("worker %d ended with %d while shutting down", worker.process.pid, status)
                continue
            self._handle_unexpected_exit(worker, status)

    def _handle_unexpected_exit(self, worker: Worker, status: int) -> None:
        reason = signal.Signals(-status).name if status < 0 else f"status {status}"
        log.error("worker %d ended: %s", worker.process.pid, reason)
        RESTARTS.labels(reason).inc()
        culprit = watch.running_digest(worker.page)
        # A status that is not a signal: the model's code ended the process itself, by os._exit.
        if culprit and (status >= 0 or -status in CRASHES):
            self._quarantine(culprit, reason)
        if not worker.is_ready:
            self.backoff.failed()

    def _quarantine(self, digest: str, reason: str) -> None:
        log.error("the version with digest %s now runs in its own process: %s", digest[:12], reason)
        watch.put_into_quarantine(self.settings.folder, digest)

    def _drop_gauges(self, pid: int) -> None:
        """Remove the ended worker's gauges; its counters stay in the sums."""
        mark_process_dead(pid, self.metrics)

    def _kill_stuck(self) -> None:
        """Kill workers whose event loop is stuck: they respond to nothing, not even SIGTERM."""
        for worker in self.workers:
            now = time.monotonic()
            starting = 0.0 if worker.is_ready else START_SECONDS
            if worker.is_stuck(now, self.settings.stuck_seconds + starting):
                culprit = watch.running_digest(worker.page)
                stalled = worker.stalled_for(now)
                log.error("worker %d has been stuck for %.1f s", worker.process.pid, stalled)
                if culprit:
                    self._quarantine(culprit, "its code did not return to Python")
                worker.process.kill()

    def _replace_oversized(self) -> None:
        now = time.monotonic()
        if now - self._memory_checked < MEMORY_CHECK_SECONDS:
            return
        self._memory_checked = now
        for worker in self.workers:
            if worker.leaving or worker in self._to_replace or not worker.is_ready:
                continue
            try:
                rss = psutil.Process(worker.process.pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
            if rss > self.settings.worker_bytes:
                log.error(
                    "worker %d uses %.0f MiB and is replaced",
                    *(worker.process.pid, rss / 2**20),
                )
                self._to_replace.append(worker)

    def _ensure_registry_sync(self) -> None:
        if self.registry_sync and self.registry_sync.poll() is None:
            return
        if self.registry_sync:
            log.error("the registry sync ended with %s", self.registry_sync.returncode)
            self.registry_sync_backoff.failed()
            self.registry_sync = None
        if self.registry_sync_backoff.over():
            self.registry_sync = subprocess.Popen(
                [sys.executable, "-m", "services.predict.registry_sync"], stdin=subprocess.DEVNULL
            )

    def _stop_registry_sync(self) -> None:
        if self.registry_sync and self.registry_sync.poll() is None:
            self.registry_sync.terminate()
            try:
                self.registry_sync.wait(10)
            except subprocess.TimeoutExpired:
                self.registry_sync.kill()
                self.registry_sync.wait()


class Backoff:
    """A delay that doubles with each failure in a row."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._until = 0.0

    def failed(self) -> None:
        self._pause = min(LONGEST_BACKOFF, max(BACKOFF_SECONDS, 2 * self._pause))
        self._until = time.monotonic() + self._pause

    def over(self) -> bool:
        return time.monotonic() >= self._until

    def reset(self) -> None:
        self._pause = self._until = 0.0


def listen(host: str, port: int) -> socket.socket:
    """Return a listening, non-blocking socket.

    Raises:
        OSError: the address is taken, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def _signal_pipe() -> int:
    """Return the read end of a pipe into which Python writes the numbers of received signals."""
    readable, writable = os.pipe()
    for end in (readable, writable):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable


def _received_signals(readable: int) -> list[int]:
    try:
        return list(os.read(readable, 64))
    except BlockingIOError:
        return []


def main() -> int:
    home.silence_telemetry()
    try:
        settings = Settings.from_environment()
        ensure_guarded(settings, Scope.PREDICT)
        logs.configure(settings)
        return Supervisor(settings, home.port("predict")).run()
    except (ValueError, OSError, Unguarded) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 1
