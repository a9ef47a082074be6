"""Keeps a model that runs on the event loop from holding up the others.

A thread looks every few milliseconds how long the running call takes. Over the limit, when it has
computed or slept and not merely been kept from the processor, it sends this process a signal,
whose handler raises inside the model's code; the request is then asked again of a process of its
own. What no signal reaches, code that never returns to Python, is left to the supervisor: it sees
the heartbeat stop and knows from the same page which version ran.
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
LOOKS = 4  # in the time that a call may take


class Overrun(BaseException):
    """Raised inside a model that took too long; not an Exception, which it might swallow."""


def page(descriptor: int | None) -> mmap.mmap:
    """Shared with the supervisor when it gave a descriptor."""
    return mmap.mmap(-1 if descriptor is None else descriptor, PAGE)


class Heartbeat:
    """When a worker's event loop last turned, in a page that the supervisor reads.

    The time is stored and loaded as one aligned double, which no reader sees half-written.
    `struct.pack_into` fills its bytes with zeros first: a supervisor that looked in between read
    0.0 and killed a healthy worker, about once in one to two days for each worker.
    """

    def __init__(self, shared: mmap.mmap) -> None:
        self._cell = memoryview(shared)[:BEAT_BYTES].cast("d")

    def beat(self) -> None:
        self._cell[0] = time.monotonic()

    @property
    def last(self) -> float:
        """The time of the last beat, by the monotonic clock, which all processes share."""
        return self._cell[0]


def running(shared: mmap.mmap) -> str:
    """The digest of the version that runs on the event loop now, or nothing."""
    return bytes(shared[DIGEST]).rstrip(b"\0").decode("ascii", "replace")


class Watch:
    """One for the process, made and used on the main thread."""

    def __init__(self, seconds: float, shared: mmap.mmap) -> None:
        self.seconds, self.shared = seconds, shared
        self._heartbeat = Heartbeat(shared)
        self._since = 0.0
        self._inside = False
        self._stopping = threading.Event()
        self._main = threading.main_thread()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

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
        """The call that follows is watched until `leave`."""
        self.shared[DIGEST] = digest
        self._since = perf_counter()
        self._inside = True

    def leave(self) -> None:
        self._inside = False
        self.shared[DIGEST] = NOBODY

    def _raise(self, *_: Any) -> None:
        # The call may have ended between the look and the signal.
        if self._inside and perf_counter() - self._since > self.seconds:
            self._inside = False
            raise Overrun

    def _look(self) -> None:
        assert self._main.ident is not None
        clock = time.pthread_getcpuclockid(self._main.ident)
        seen, used = 0.0, 0.0
        while not self._stopping.wait(self.seconds / LOOKS):
            if not self._inside:
                continue
            if self._since != seen:
                seen, used = self._since, time.clock_gettime(clock)
            elif perf_counter() - seen > self.seconds and (
                time.clock_gettime(clock) - used > self.seconds / 2 or self._waits()
            ):
                signal.pthread_kill(self._main.ident, SIGNAL)

    def _waits(self) -> bool:
        """Whether the main thread sleeps; one that wants to run and is not let may be innocent."""
        stat = Path(f"/proc/self/task/{self._main.native_id}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"


def quarantine(folder: Any) -> Any:
    """The file that names digests that may not run inside a worker any more."""
    return folder / "quarantine"


def quarantined(folder: Any) -> set[str]:
    try:
        return set(quarantine(folder).read_text().split())
    except FileNotFoundError:
        return set()


def put_into_quarantine(folder: Any, digest: str) -> None:
    if digest not in quarantined(folder):
        descriptor = os.open(quarantine(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(f"{digest}\n")
            stream.flush()
            os.fsync(stream.fileno())
