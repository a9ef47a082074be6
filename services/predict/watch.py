"""Interrupts a model that blocks the event loop for too long.

A thread checks every few milliseconds how long the running call takes. When the call exceeds the
limit, and has computed or slept rather than merely waited for the processor, the thread sends this
process a signal. The handler raises `Overrun` inside the model's code, and the request is retried
in a process of the model's own. A signal cannot interrupt code that never returns to Python; the
supervisor handles that case: it sees the heartbeat stop and reads from the same shared page which
version was running.
"""

import mmap
import os
import signal
import threading
import time
from pathlib import Path
from time import perf_counter
from typing import Any

SIGNAL = signal.SIGUSR2
PAGE = mmap.PAGESIZE
BEAT_BYTES = 8
DIGEST = slice(BEAT_BYTES, BEAT_BYTES + 64)
NOBODY = b"\0" * 64
CHECKS_PER_LIMIT = 4


class Overrun(BaseException):
    """Raised inside a model that took too long; no Exception, which the model might swallow."""


def page(descriptor: int | None) -> mmap.mmap:
    """Map the page shared with the supervisor; without a descriptor, a private page."""
    return mmap.mmap(-1 if descriptor is None else descriptor, PAGE)


class Heartbeat:
    """The time at which a worker's event loop last ran, in a page that the supervisor reads.

    The time is stored and loaded as one aligned double, so no reader sees it half-written.
    `struct.pack_into` fills its bytes with zeros first: a supervisor that read it in between
    got 0.0 and killed a healthy worker, about once in one to two days for each worker.
    """

    def __init__(self, shared: mmap.mmap) -> None:
        self._cell = memoryview(shared)[:BEAT_BYTES].cast("d")

    def beat(self) -> None:
        self._cell[0] = time.monotonic()

    @property
    def last(self) -> float:
        """The time of the last beat, by the monotonic clock, which all processes share."""
        return self._cell[0]


def running_digest(shared: mmap.mmap) -> str:
    """Return the digest of the version running on the event loop now, or an empty string."""
    return bytes(shared[DIGEST]).rstrip(b"\0").decode("ascii", "replace")


class Watch:
    """The watchdog of the main thread's event loop; create and use it on the main thread."""

    def __init__(self, seconds: float, shared: mmap.mmap) -> None:
        self.seconds, self.shared = seconds, shared
        self._heartbeat = Heartbeat(shared)
        self._since = 0.0
        self._inside = False
        self._stopping = threading.Event()
        self._main = threading.main_thread()
        self._thread = threading.Thread(target=self._monitor, name="watch", daemon=True)

    def start(self) -> None:
        signal.signal(SIGNAL, self._raise)
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(1)
        signal.signal(SIGNAL, signal.SIG_IGN)

    def beat(self) -> None:
        self._heartbeat.beat()

    def enter(self, digest: bytes) -> None:
        """Start timing a call of the version with this digest, until `leave`."""
        self.shared[DIGEST] = digest
        self._since = perf_counter()
        self._inside = True

    def leave(self) -> None:
        self._inside = False
        self.shared[DIGEST] = NOBODY

    def _raise(self, *_: Any) -> None:
        # The call may have ended between the check and the signal.
        if self._inside and perf_counter() - self._since > self.seconds:
            self._inside = False
            raise Overrun

    def _monitor(self) -> None:
        assert self._main.ident is not None
        clock = time.pthread_getcpuclockid(self._main.ident)
        seen, used = 0.0, 0.0
        while not self._stopping.wait(self.seconds / CHECKS_PER_LIMIT):
            if not self._inside:
                continue
            if self._since != seen:
                seen, used = self._since, time.clock_gettime(clock)
            elif perf_counter() - seen > self.seconds and (
                time.clock_gettime(clock) - used > self.seconds / 2 or self._is_sleeping()
            ):
                signal.pthread_kill(self._main.ident, SIGNAL)

    def _is_sleeping(self) -> bool:
        """Return whether the main thread sleeps, rather than waits for the processor."""
        stat = Path(f"/proc/self/task/{self._main.native_id}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"


def quarantine_file(folder: Any) -> Any:
    """Return the file with the digests that may no longer run inside a worker."""
    return folder / "quarantine"


def quarantined(folder: Any) -> set[str]:
    """Return the digests that may no longer run inside a worker."""
    try:
        return set(quarantine_file(folder).read_text().split())
    except FileNotFoundError:
        return set()


def put_into_quarantine(folder: Any, digest: str) -> None:
    """Add the digest to the quarantine file, durably."""
    if digest not in quarantined(folder):
        descriptor = os.open(quarantine_file(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(f"{digest}\n")
            stream.flush()
            os.fsync(stream.fileno())
