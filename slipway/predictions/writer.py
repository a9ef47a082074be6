"""The prediction log of a worker: a record of 1 KB costs the event loop 3 microseconds and no I/O.

The event loop creates ids and puts lines into a mapped segment. The log's own thread does what may
wait: it keeps a spare segment ready, loads pages into memory ahead of the writing, syncs, and
closes full segments. A disk that hangs blocks that thread alone; the event loop goes on writing
into pages that are loaded, and after that the records are dropped and counted.

Known limit: freezing the file system of the folder (`fsfreeze`, some snapshot tools) stops every
thread that writes to a mapped page of it, the event loop included, until the thaw.
"""

import ctypes
import mmap
import os
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from slipway.predictions import ids
from slipway.predictions.segment import Segment

TICK_SECONDS = 0.05
RETRY_SECONDS = 1.0
# 10,000 records of 1 KB a second use 0.5 MB of it in a tick.
AHEAD_BYTES = 4 * 2**20
# A thread that has not reported for this long may be waiting for the disk: then no page is touched
# that is not in memory yet.
TRUSTED_MILLISECONDS = 500
# The least free space at which an id still promises a record; in small segments a quarter.
ROOM_BYTES = 64 * 2**10
# Closed segments that cannot be saved keep their memory; beyond this many none is started.
WAITING = 4

# The kernel copies the line, which costs 1.2 microseconds: a page that the disk cannot provide, or
# that was truncated, is then an error, where a plain copy would kill the worker by SIGBUS.
# PyDLL keeps the interpreter's lock: to release it could cost 5 ms to get it back.
_pread = ctypes.PyDLL(None).pread
_pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
_pread.restype = ctypes.c_ssize_t


class PredictionLog:
    """A writer of segments of `segment_bytes` into `folder`, synced every `sync_seconds`.

    Only one thread, the event loop's, may call `next_id` and `append`. A line of up to a quarter of
    a segment always fits when there is a segment. After `segment_seconds` a segment is closed even
    when it is not full, so that its records can be compacted and finally deleted.

    Create it in the process that writes: a lock that a forked child inherits outlives its writer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 64 * 2**20,
        sync_seconds: float = 1.0,
        segment_seconds: float = 3600.0,
    ) -> None:
        if not mmap.PAGESIZE <= segment_bytes <= 2**ids.OFFSET_BITS:
            raise ValueError(
                f"segment_bytes must be {mmap.PAGESIZE} to {2**ids.OFFSET_BITS}, "
                f"got {segment_bytes}"
            )
        self.folder = folder
        self.written = 0
        self.bytes = 0
        self.dropped = 0
        """Records not written: the disk was dead, full or too slow, or the line too long."""
        self.lost = 0
        """Records written, but their segment was destroyed before it could be saved."""
        self._segment_bytes, self._sync_seconds = segment_bytes, sync_seconds
        self._segment_milliseconds = int(segment_seconds * 1000)
        self._room = min(ROOM_BYTES, segment_bytes // 4)

        self._staged = os.memfd_create("slipway-record")
        os.ftruncate(self._staged, segment_bytes)
        self._staging = mmap.mmap(self._staged, segment_bytes)

        self._segment: Segment | None = None
        self._now = 0
        self._expires = 0
        self._count = random.getrandbits(12)
        self._head, self._middle, self._base = ids.head(0), ids.middle(ids.NOWHERE), 0
        self._offset = self._limit = self._address = self._written_before = 0
        self._refresh_at = -1

        # Passed between the two threads; a deque's append and popleft are atomic.
        self._spares: deque[Segment] = deque()
        self._retired: deque[Segment] = deque()
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._trusted_until = 0

        self._faults: dict[str, str] = {}
        self._again: dict[str, float] = {}
        self._synced: tuple[str, int, float] = ("", 0, time.monotonic())
        self._watched = 0.0
        self._closing = False
        self._first_try = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()
        # So that the first predictions are logged; with a dead disk the start goes on after this.
        self._first_try.wait(RETRY_SECONDS)

    @property
    def healthy(self) -> bool:
        """True if the last of each disk operation succeeded."""
        return not self.fault

    @property
    def fault(self) -> str:
        """The reason that records are, or will soon be, dropped; empty when healthy."""
        if self._closing:
            return "prediction log: closed"
        late = time.time() - self._trusted_until / 1000
        if late > 0:
            return f"prediction log: {self.folder} has not responded for {late:.1f} s"
        return "; ".join(self._faults.copy().values())

    # On the event loop.

    def next_id(self) -> str:
        """Return the id of the record to append next; an id of segment 0 when none can be."""
        now = int(time.time() * 1000)
        if now != self._now or self._offset > self._refresh_at:
            self._refresh(now)
        self._count = count = self._count + 1 & 0xFFF
        return f"{self._head}{count:03x}-{self._middle}-{self._base ^ self._offset:012x}"

    def append(self, line: bytes) -> bool:
        """Write the record of the last id, a line of JSON with its newline.

        Return False when it was dropped.
        """
        size = len(line)
        end = self._offset + size
        # A zero byte would look like the unwritten rest, a second newline like a second record.
        if end > self._limit or line.find(b"\n") != size - 1 or b"\0" in line:
            self.dropped += 1
            return False
        self._staging[:size] = line
        if _pread(self._staged, self._address + self._offset, size, 0) != size:
            self._abandon()
            self.dropped += 1
            return False
        self._offset = end
        self.written += 1
        self.bytes += size
        return True

    def close(self, *, seconds: float = 10.0) -> None:
        """Save everything; records that are appended later are dropped.

        If the disk does not respond within `seconds`, the segments stay as they are, for recovery.
        """
        if self._closing:
            return
        self._closing = True
        if self._segment is not None:
            self._retire(self._segment)
        self._mute()
        self._calls.put(None)
        self._thread.join(seconds)

    def _refresh(self, now: int) -> None:
        """Choose where the next records go, once a millisecond and near the end of a segment."""
        self._now, self._head = now, ids.head(now)
        segment = self._segment
        if segment is not None and (
            segment.failed
            or (self._spares and (self._offset > self._full_at() or now > self._expires))
        ):
            self._retire(segment)
            segment = None
        if segment is None and not self._closing:
            segment = self._take_spare(now)
        if segment is None:
            self._mute()
            return
        limit = segment.size if now < self._trusted_until else segment.ready
        if limit - self._offset < self._room:
            self._mute()
            return
        self._middle, self._base = ids.middle(segment.number), ids.base(segment.number)
        self._limit, self._refresh_at = limit, min(self._full_at(), limit - self._room)

    def _full_at(self) -> int:
        return self._segment_bytes - self._segment_bytes // 4

    def _take_spare(self, now: int) -> Segment | None:
        try:
            segment = self._spares.popleft()
        except IndexError:
            return None
        self._segment, self._address, self._offset = segment, segment.address, 0
        self._written_before = self.written
        self._expires = now + self._segment_milliseconds
        self._calls.put(None)
        return segment

    def _retire(self, segment: Segment) -> None:
        segment.used, segment.records = self._offset, self.written - self._written_before
        self._segment, self._offset = None, 0
        self._retired.append(segment)
        self._calls.put(None)

    def _mute(self) -> None:
        """Make ids that name no record, each unique; every call of `next_id` tries again."""
        self._middle, self._base = ids.middle(ids.NOWHERE), random.getrandbits(ids.OFFSET_BITS)
        self._limit = self._refresh_at = -1

    def _abandon(self) -> None:
        """Abandon the segment, whose pages are gone; the next record goes elsewhere."""
        if self._segment is not None:
            self._segment.failed = True
        self._limit = self._refresh_at = -1

    # On the log's own thread.

    def _run(self) -> None:
        while not self._closing:
            self._tend()
            self._first_try.set()
            try:
                self._calls.get(timeout=TICK_SECONDS)
            except queue.Empty:
                continue
        self._finish()

    def _tend(self) -> None:
        self._try("save", self._save_retired)
        self._try("watch", self._watch)
        self._try("populate", self._populate)
        self._try("sync", self._sync)
        self._try("prepare", self._prepare)
        self._trusted_until = int(time.time() * 1000) + TRUSTED_MILLISECONDS

    def _try(self, name: str, step: Callable[[], None]) -> None:
        """Run a step; after a failure it is not retried for a second, while the others go on."""
        if time.monotonic() < self._again.get(name, 0.0):
            return
        try:
            step()
        except Exception as error:  # this thread must survive every error
            self._faults[name] = f"prediction log: {error}"
            self._again[name] = time.monotonic() + RETRY_SECONDS
        else:
            self._faults.pop(name, None)

    def _save_retired(self) -> None:
        while self._retired:
            segment = self._retired[0]
            segment.save()
            self.lost += segment.lost
            self._retired.popleft()

    def _watch(self) -> None:
        """Abandon files that are no longer in the folder: nobody would find their records."""
        if time.monotonic() < self._watched + RETRY_SECONDS:
            return
        self._watched = time.monotonic()
        current = self._segment
        if current is not None and not current.in_place():
            current.failed = True
        for _ in range(len(self._spares)):
            try:
                spare = self._spares.popleft()
            except IndexError:
                return
            if spare.in_place():
                self._spares.append(spare)
            else:
                spare.discard()

    def _populate(self) -> None:
        segment, offset = self._segment, self._offset
        if segment is not None and segment.ready < min(offset + AHEAD_BYTES // 2, segment.size):
            segment.populate(max(segment.ready, offset), offset + AHEAD_BYTES)

    def _sync(self) -> None:
        segment, offset = self._segment, self._offset
        name, synced, when = self._synced
        if (
            segment is None
            or (segment.name, offset) == (name, synced)
            or time.monotonic() < when + self._sync_seconds
        ):
            return
        segment.sync()
        self._synced = (segment.name, offset, time.monotonic())
        # Pages that were synced cause a page fault when they are next written.
        segment.populate(self._offset, self._offset + AHEAD_BYTES)

    def _prepare(self) -> None:
        if self._spares or len(self._retired) >= WAITING:
            return
        spare = Segment(self.folder, self._segment_bytes)
        try:
            spare.populate(0, AHEAD_BYTES)
        except OSError:
            spare.discard()
            raise
        self._spares.append(spare)

    def _finish(self) -> None:
        self._again.clear()
        self._try("save", self._save_retired)
        for segment in self._retired:
            # Left for recovery, if it still exists.
            self.lost += segment.lost + (0 if segment.in_place() else segment.records)
            segment.release()
        while self._spares:
            self._spares.popleft().discard()
        self._staging.close()
        os.close(self._staged)
