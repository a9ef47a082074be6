"""Rate limits: one limit per key, shared by all worker processes of a machine."""

import fcntl
import mmap
import os
import time
import weakref
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import psutil
from filelock import FileLock

from slipway.access.keys import Key

SLOTS = 4096
# A key is in one of so many slots from its hashed place on: lookups stay short in a full table.
REACH = 32
LANES = 64
# Sizes in 8-byte words. Header: the file's identification (7), number of lanes ever used (1).
# Slot: its key (1), its base (1), its lanes.
HEADER, USED, SLOT = 8, 7, 2 + LANES
SIZE = 8 * (HEADER + SLOTS * SLOT)
# Set above the key's 32 bits, so that the slot of key 00000000 differs from an empty one.
TAKEN = 1 << 32
# In seconds: sums of doubles are off by some 1e-8 after months of uptime.
SLACK = 1e-7


class Limiter:
    """Implements the generic cell rate algorithm as virtual scheduling (ITU-T Recommendation I.371,
    annex A; ATM Forum Traffic Management Specification 4.0, section 4.4.2).

    For each key it stores the theoretical arrival time (TAT): when the next request would arrive
    if the caller kept exactly to the rate. A request of cost c advances the TAT by c/rate, from
    its value or from now, whichever is later. It is admitted if the TAT is then at most burst/rate
    ahead of now. A request that costs more than the burst is admitted when nothing is owed, and
    delays the requests after it.

    All workers map one file, without a lock between them. A single TAT per key would lose updates:
    in a measurement, 3 workers that continuously took from one key were admitted 1.7 times the
    rate. The TAT is therefore a sum: a base and, in a lane for each process, the seconds that this
    process has charged. No other process writes to a lane (its owner holds a file lock on it), so
    no charge is lost. Workers that take at the same instant may each be admitted to the last free
    place, and all of them are charged. In any t seconds W workers therefore admit at most

        rate * t + burst + (W - 1) * (cost of one request).

    One race remains: the base, which any worker sets to now when nothing is owed. Two workers that
    do so at the same time write nearly the same value. A worker that the kernel suspends for d
    seconds between its read and its write sets the base back by at most d: rate * d requests too
    many, once.

    With more than 64 processes lanes are shared, and charges can be lost. Only one thread of a
    process may use a limiter. The clock is CLOCK_MONOTONIC, which is the same for all processes and
    never set back. It restarts with the machine, so the file holds the boot id, and a file of
    another boot is replaced. A file of another size is replaced, too, and never truncated: that
    would kill the processes that have it mapped.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._clock = clock
        self._slots: dict[str, tuple[int, int]] = {}
        with self._locked():
            mapped = memoryview(_mapped(folder / "limits"))
        self._words, self._seconds = mapped.cast("Q"), mapped.cast("d")
        self._claim_lane()
        _living.add(self)

    def take(self, key: Key, cost: float = 1) -> float:
        """Return 0.0 if the request is admitted, else the seconds until it would be.

        Takes 0.7 microseconds with one worker, 1.3 with 64.

        Raises:
            ValueError: the cost is negative.
        """
        rate = key.rate
        if rate is None:
            return 0.0
        if cost < 0:
            raise ValueError(f"cost must be 0 or more, got {cost}")
        words, seconds = self._words, self._seconds
        mark, place = self._slots.get(key.id) or self._find(key)
        if words[place] != mark:
            mark, place = self._find(key)
        lanes = place + 2
        now = self._clock()
        # Lanes first: charges after this can only make the sum too small, and the base that is
        # written below too late by the same amount.
        charged = sum(seconds[lanes : lanes + words[USED]])
        owed = seconds[place + 1] + charged - now
        if owed < 0.0:
            seconds[place + 1] = now - charged
            owed = 0.0
        step = cost / rate
        ahead = (key.burst or (rate if rate > 1.0 else 1.0)) / rate
        wait = owed + step - (ahead if ahead > step else step)
        if wait > SLACK:
            return wait
        seconds[lanes + self._lane] += step
        return 0.0

    def _find(self, key: Key) -> tuple[int, int]:
        """Return the key's mark and slot; assign a slot if it has none. Rare, so under a lock.

        A slot whose TAT has passed holds no more information than an empty one, so the slot in
        reach with the smallest TAT is reassigned. If all slots in reach owe something, the key that
        loses its slot gets its burst again.
        """
        number = int(key.id, 16)
        mark, words, seconds = TAKEN | number, self._words, self._seconds
        reach = [HEADER + SLOT * ((number + step) % SLOTS) for step in range(REACH)]
        with self._locked():
            place = next((each for each in reach if words[each] == mark), None)
            if place is None:
                empty = (each for each in reach if not words[each])
                place = next(empty, None) or min(reach, key=self._tat)
                # Lanes belong to their processes and stay unchanged; the base compensates for them.
                seconds[place + 1] -= self._tat(place)
                words[place] = mark
        if len(self._slots) >= SLOTS:
            self._slots.clear()
        self._slots[key.id] = mark, place
        return mark, place

    def _tat(self, place: int) -> float:
        """Return the slot's TAT."""
        return sum(self._seconds[place + 1 : place + SLOT])

    def _claim_lane(self) -> None:
        """Take a lane that no living process holds; its sum continues from its last owner's."""
        with self._locked():
            for lane in range(LANES):
                held = FileIO(self.folder / f"limits.lane{lane}", "w")
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.close()
                    continue
                self._lane, self._held = lane, held
                break
            else:
                self._lane = os.getpid() % LANES
            self._words[USED] = max(self._words[USED], self._lane + 1)

    def _locked(self) -> FileLock:
        return FileLock(self.folder / "limits.lock")


_living: weakref.WeakSet[Limiter] = weakref.WeakSet()


def _after_fork() -> None:
    """Give a forked child lanes of its own; it would share its parent's."""
    for limiter in list(_living):
        limiter._claim_lane()


os.register_at_fork(after_in_child=_after_fork)


def _mapped(file: Path) -> mmap.mmap:
    """Map the file; create it if it is missing, of another boot or of another size."""
    header = f"slipway limits 1 {_boot():36.36}   ".encode()
    try:
        with file.open("rb") as stream:
            fits = stream.read(len(header)) == header and os.fstat(stream.fileno()).st_size == SIZE
    except FileNotFoundError:
        fits = False
    if not fits:
        new = file.with_name(file.name + ".new")
        # Written in full: a write to a hole of a mapped file kills the process if the disk is full.
        new.write_bytes(header + bytes(SIZE - len(header)))
        os.replace(new, file)
    with file.open("r+b") as stream:
        return mmap.mmap(stream.fileno(), SIZE)


def _boot() -> str:
    """Return an id that changes with every boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:  # not Linux
        return f"{psutil.boot_time():.0f}"
