"""Starts the workers and the keeper, and replaces what ends: `python -m services.predict`.

    SIGTERM, SIGINT   every worker answers what it has, then all ends
    SIGHUP            one worker after another is replaced: the new one is ready first

The listening socket belongs to this process, so that connections wait while workers change.
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

from services.nought import from_nought
from services.predict import watch
from services.predict.handover import BEAT, LISTEN, PARENT, READY, SLOT, STATES
from services.predict.readiness import Slots
from services.predict.settings import Settings
from services.web import logs
from services.web.guard import Unguarded, ensure_guarded
from slipway import home
from slipway.access.scopes import Scope

log = logging.getLogger("slipway.supervisor")

TURN_SECONDS = 0.1
LOOK_AT_MEMORY_SECONDS = 5.0
BACKLOG = 4096
# What a worker may take more until its event loop first turns: imports, on a busy machine.
START_SECONDS = 15.0
# A worker that seems to stand still is looked at again after two of its beats: if this process was
# suspended together with its workers, all of them seem to stand still when it wakes up.
CONFIRM_SECONDS = 0.5
# A worker that ends right after its start is not started again at once.
BACKOFF_SECONDS, LONGEST_BACKOFF = 0.5, 10.0
# These say that the code that ran is to blame.
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}

# Here and not among the workers' metrics: importing those would make this process one of them.
RESTARTS = Counter("slipway_worker_restarts", "Workers that ended on their own", ["reason"])
# Killed, as one that stands still or for want of memory; a crash; an exception, 1 in Python.
REASONS = (*sorted(each.name for each in (signal.SIGKILL, *CRASHES)), "status 1")


@dataclass
class Worker:
    process: "subprocess.Popen[bytes]"
    page: mmap.mmap
    ready: int
    """The end of a pipe by which it says that it is ready."""
    slot: int
    """Its place in the page of readiness."""
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

    def still_for(self, now: float) -> float:
        """Return for how many seconds its event loop has not turned.

        A time before its start or after now is no beat, and the one before counts: a model's code
        runs in the worker and can write anywhere in its memory.
        """
        beat = self._heartbeat.last
        if self._last_beat <= beat <= now:
            self._last_beat = beat
        return now - self._last_beat

    def is_stuck(self, now: float, limit: float) -> bool:
        """Return whether it has stood still for longer than `limit`, at two looks."""
        if self.still_for(now) <= limit:
            self.suspected_since = None
            return False
        if self.suspected_since is None:
            self.suspected_since = now
        return now - self.suspected_since >= CONFIRM_SECONDS


class Supervisor:
    def __init__(self, settings: Settings, port: int) -> None:
        from_nought(RESTARTS, REASONS)
        self.settings = settings
        self.listening = listen(settings.host, port)
        self.slots = Slots()
        self.metrics = os.environ["PROMETHEUS_MULTIPROC_DIR"]
        self.workers: list[Worker] = []
        self.keeper: subprocess.Popen[bytes] | None = None
        self.keeper_backoff = Backoff()
        self.backoff = Backoff()
        self.stopping = False
        self._to_replace: list[Worker] = []
        self._looked = 0.0

    def run(self) -> int:
        """Until told to stop; the exit status."""
        settings = self.settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._signals = _signals()
        log.info("listening on %s:%d", *self.listening.getsockname()[:2])
        while not self._done():
            self._handle_signals()
            self._reap()
            self._promote_ready()
            if not self.stopping:
                self._keep_keeper()
                self._keep_number()
                self._kill_stuck()
                self._replace_grown()
                self._roll()
            else:
                self._hurry()
        self._stop_keeper()
        return 0

    def _done(self) -> bool:
        return self.stopping and not self.workers

    def _handle_signals(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            for worker in self.workers:
                if not worker.is_ready:
                    selector.register(worker.ready, selectors.EVENT_READ)
            selector.select(TURN_SECONDS)
        for number in _received(self._signals):
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stopping = True
                for worker in self.workers:
                    self._dismiss(worker)
            elif number == signal.SIGHUP:
                log.info("replacing the workers, one after another")
                self._to_replace = [each for each in self.workers if not each.leaving]

    def _start_worker(self, successor_of: Worker | None = None) -> None:
        readable, writable = os.pipe()
        with tempfile.TemporaryFile() as shared:
            shared.truncate(watch.PAGE)
            page = watch.page(shared.fileno())
            slot = self.slots.take()
            handed = {
                LISTEN: self.listening.fileno(),
                BEAT: shared.fileno(),
                READY: writable,
                STATES: self.slots.descriptor,
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "services.predict.worker"],
                env={
                    **os.environ,
                    **{name: str(number) for name, number in handed.items()},
                    PARENT: str(os.getpid()),
                    SLOT: str(slot),
                },
                pass_fds=tuple(handed.values()),
                stdin=subprocess.DEVNULL,
            )
        os.close(writable)
        os.set_blocking(readable, False)
        self.workers.append(Worker(process, page, readable, slot, successor_of=successor_of))

    def _keep_number(self) -> None:
        staying = [each for each in self.workers if not each.leaving and not each.successor_of]
        missing = self.settings.workers - len(staying)
        if missing > 0 and self.backoff.over():
            for _ in range(missing):
                self._start_worker()

    def _promote_ready(self) -> None:
        for worker in self.workers:
            if worker.is_ready:
                continue
            try:
                said = os.read(worker.ready, 1)
            except BlockingIOError:
                continue
            if said:
                worker.is_ready = True
                self.backoff.reset()
                log.info(
                    "worker %d is ready after %.2f s",
                    *(worker.process.pid, time.monotonic() - worker.started),
                )
                if worker.successor_of:
                    self._dismiss(worker.successor_of)
                    worker.successor_of = None

    def _roll(self) -> None:
        """Begin the next replacement when none is under way."""
        self._to_replace = [each for each in self._to_replace if each in self.workers]
        under_way = any(each.successor_of or each.leaving for each in self.workers)
        if self._to_replace and not under_way:
            self._start_worker(successor_of=self._to_replace.pop(0))

    def _dismiss(self, worker: Worker) -> None:
        if not worker.leaving:
            worker.leaving_since = time.monotonic()
            worker.process.terminate()

    def _hurry(self) -> None:
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
            self._forget(worker.process.pid)
            if worker.leaving and status == 0:
                continue
            if worker.leaving:
                log.error("worker %d ended with %d while leaving", worker.process.pid, status)
                continue
            self._mourn(worker, status)

    def _mourn(self, worker: Worker, status: int) -> None:
        reason = signal.Signals(-status).name if status < 0 else f"status {status}"
        log.error("worker %d ended: %s", worker.process.pid, reason)
        RESTARTS.labels(reason).inc()
        culprit = watch.running(worker.page)
        if culprit and status < 0 and -status in CRASHES:
            self._quarantine(culprit, reason)
        if not worker.is_ready:
            self.backoff.failed()

    def _quarantine(self, digest: str, reason: str) -> None:
        log.error("the version with digest %s is isolated from now on: %s", digest[:12], reason)
        watch.put_into_quarantine(self.settings.folder, digest)

    def _forget(self, pid: int) -> None:
        """Gauges of the living only; counters of the dead go on counting."""
        mark_process_dead(pid, self.metrics)

    def _kill_stuck(self) -> None:
        """A worker whose event loop stands still answers nobody, also not a SIGTERM."""
        for worker in self.workers:
            now = time.monotonic()
            starting = 0.0 if worker.is_ready else START_SECONDS
            if worker.is_stuck(now, self.settings.stuck_seconds + starting):
                culprit = watch.running(worker.page)
                still = worker.still_for(now)
                log.error("worker %d has stood still for %.1f s", worker.process.pid, still)
                if culprit:
                    self._quarantine(culprit, "it did not return to Python")
                worker.process.kill()

    def _replace_grown(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_AT_MEMORY_SECONDS:
            return
        self._looked = now
        for worker in self.workers:
            if worker.leaving or worker in self._to_replace or not worker.is_ready:
                continue
            try:
                taken = psutil.Process(worker.process.pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
            if taken > self.settings.worker_bytes:
                log.error(
                    "worker %d takes %.0f MiB and is replaced",
                    *(worker.process.pid, taken / 2**20),
                )
                self._to_replace.append(worker)

    def _keep_keeper(self) -> None:
        if self.keeper and self.keeper.poll() is None:
            return
        if self.keeper:
            log.error("the keeper ended with %s", self.keeper.returncode)
            self.keeper_backoff.failed()
            self.keeper = None
        if self.keeper_backoff.over():
            self.keeper = subprocess.Popen(
                [sys.executable, "-m", "services.predict.keeper"], stdin=subprocess.DEVNULL
            )

    def _stop_keeper(self) -> None:
        if self.keeper and self.keeper.poll() is None:
            self.keeper.terminate()
            try:
                self.keeper.wait(10)
            except subprocess.TimeoutExpired:
                self.keeper.kill()
                self.keeper.wait()


class Backoff:
    """Longer and longer pauses after failures in a row."""

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
    """Raises OSError: the address is taken, or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def _signals() -> int:
    """The end of a pipe into which Python writes the numbers of signals."""
    readable, writable = os.pipe()
    for end in (readable, writable):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable


def _received(readable: int) -> list[int]:
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
