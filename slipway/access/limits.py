"""How often a key may ask: one limit a key, shared by all worker processes of a machine."""

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
# A key lies in one of so many slots behind its place: a full table makes nobody search for long.
REACH = 32
LANES = 64
# In 8-byte words. Header: what the file is (7), how many lanes were ever in use (1).
# Slot: its key (1), its base (1), its lanes.
HEADER, USED, SLOT = 8, 7, 2 + LANES
SIZE = 8 * (HEADER + SLOTS * SLOT)
# In front of the key's 32 bits: the slot of key 00000000 differs from an empty one.
TAKEN = 1 << 32
# Seconds; sums of doubles are off by some 1e-8 when the machine has run for months.
SLACK = 1e-7


class Limiter:
    """The generic cell rate algorithm, as virtual scheduling (ITU-T Recommendation I.371, annex A;
    ATM Forum Traffic Management Specification 4.0, section 4.4.2).

    Of each key one time is kept, the theoretical arrival time (TAT): when the next request would
    come if the caller kept exactly to the rate. A request of cost c moves it on by c/rate from
    where it is, or from now if that is later, and is admitted if it then lies no further ahead
    than burst/rate. A request dearer than the burst is admitted when nothing is owed, and pays
    its debt afterwards.

    All workers map one file, without a lock between them. One TAT a key that all of them load
    and store would lose what others stored in between: measured, 3 workers that do nothing but
    ask were admitted 1.7 times the rate. So the TAT is a sum: a base and, in a lane for each
    process, the seconds that this process has charged. Nobody else stores to a lane (the process
    holds a file lock on it as long as it lives), so no charge is lost. Workers that ask at the
    same instant may each take the last free place; all of them pay for it. In any t seconds W
    workers therefore admit at most

        rate * t + burst + (W - 1) * (cost of one request).

    What is left of the race: the base, which any worker moves on to now when nothing is owed.
    Two that do so at once store nearly the same. One that the kernel stops for d seconds between
    its load and its store sets the base back by at most d: rate * d requests too many, once.

    Beyond 64 processes lanes are shared and charges can be lost. Within a process one thread
    asks. The clock is CLOCK_MONOTONIC: one for all processes and never set back. It starts anew
    with the machine, so the file bears the boot's id and one of another boot is replaced. A file
    that does not fit is replaced too and never cut, which would kill whoever has it mapped.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._clock = clock
        self._found: dict[str, tuple[int, int]] = {}
        with self._alone():
            mapped = memoryview(_mapped(folder / "limits"))
        self._words, self._seconds = mapped.cast("Q"), mapped.cast("d")
        self._claim()
        _living.add(self)

    def take(self, key: Key, cost: float = 1) -> float:
        """0.0 if the request is admitted, else the seconds until it would be. 0.7 microseconds
        with one worker, 1.3 with 64.

        Raises:
            ValueError: the cost is negative.
        """
        rate = key.rate
        if rate is None:
            return 0.0
        if cost < 0:
            raise ValueError(f"cost must be 0 or more, got {cost}")
        words, seconds = self._words, self._seconds
        mark, place = self._found.get(key.id) or self._find(key)
        if words[place] != mark:
            mark, place = self._find(key)
        lanes = place + 2
        now = self._clock()
        # The lanes first: what is charged after this can only make the sum too small, and the
        # base that is stored below too late by as much as was charged.
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
        """The key's mark and slot; one is taken if it has none. Rare, so under a lock.

        A slot whose TAT has passed says no more than an empty one, so of those in reach the one
        that owes least changes hands. Should all of them owe, that key has its burst again.
        """
        number = int(key.id, 16)
        mark, words, seconds = TAKEN | number, self._words, self._seconds
        reach = [HEADER + SLOT * ((number + step) % SLOTS) for step in range(REACH)]
        with self._alone():
            place = next((each for each in reach if words[each] == mark), None)
            if place is None:
                empty = (each for each in reach if not words[each])
                place = next(empty, None) or min(reach, key=self._due)
                # What stands in the lanes is their owners' and stays: the base makes up for it.
                seconds[place + 1] -= self._due(place)
                words[place] = mark
        if len(self._found) >= SLOTS:
            self._found.clear()
        self._found[key.id] = mark, place
        return mark, place

    def _due(self, place: int) -> float:
        """The slot's TAT."""
        return sum(self._seconds[place + 1 : place + SLOT])

    def _claim(self) -> None:
        """A lane that no living process holds; it goes on from where its last owner stopped."""
        with self._alone():
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

    def _alone(self) -> FileLock:
        return FileLock(self.folder / "limits.lock")


_living: weakref.WeakSet[Limiter] = weakref.WeakSet()


def _forked() -> None:
    """A child that was forked would share its parent's lane."""
    for limiter in list(_living):
        limiter._claim()


os.register_at_fork(after_in_child=_forked)


def _mapped(file: Path) -> mmap.mmap:
    """The file, made if it is missing, of another boot or of another size."""
    about = f"slipway limits 1 {_boot():36.36}   ".encode()
    try:
        with file.open("rb") as stream:
            fits = stream.read(len(about)) == about and os.fstat(stream.fileno()).st_size == SIZE
    except FileNotFoundError:
        fits = False
    if not fits:
        new = file.with_name(file.name + ".new")
        # Written out in full: a store to a hole of a file kills the process when the disk is full.
        new.write_bytes(about + bytes(SIZE - len(about)))
        os.replace(new, file)
    with file.open("r+b") as stream:
        return mmap.mmap(stream.fileno(), SIZE)


def _boot() -> str:
    """The same from one start of the machine to its next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:  # not Linux
        return f"{psutil.boot_time():.0f}"
