"""How far each worker of one supervisor has come: what decides which of them takes requests.

All workers share one listening socket, so the kernel hands a connection to any worker that accepts.
A worker that has not loaded its models therefore accepts none while another worker does. They tell
each other by a page of shared memory with one byte for each worker: the worker writes it, and the
supervisor sets it back when the worker has ended.
"""

import mmap
import os
import tempfile

SLOTS = mmap.PAGESIZE
# What a byte says. Each state is further than the one before.
STARTING, ACCEPTING, LOADED = 0, 1, 2


class Readiness:
    """The state of one worker, as it writes it, and of the others, as it reads them."""

    def __init__(self, descriptor: int | None = None, slot: int = 0) -> None:
        """Use the page of the supervisor; without its descriptor, one that nobody else has."""
        self._page = mmap.mmap(-1 if descriptor is None else descriptor, SLOTS)
        self._slot = slot

    def reach(self, state: int) -> None:
        """Tell the others that this worker has come so far; a state never goes back."""
        self._page[self._slot] = max(state, self._page[self._slot])

    @property
    def others(self) -> int:
        """The furthest state of the other workers; STARTING if there is none."""
        states = bytearray(self._page)
        states[self._slot] = STARTING
        return max(states)


class Slots:
    """The supervisor's side: each living worker has a slot of its own."""

    def __init__(self) -> None:
        self.descriptor, name = tempfile.mkstemp()
        """Of the page, to be inherited by the workers; it is open as long as this process lives."""
        os.unlink(name)
        os.ftruncate(self.descriptor, SLOTS)
        self._page = mmap.mmap(self.descriptor, SLOTS)
        self._taken: set[int] = set()

    def take(self) -> int:
        """Return the lowest free slot; its state is STARTING."""
        slot = next(each for each in range(SLOTS) if each not in self._taken)
        self._taken.add(slot)
        return slot

    def free(self, slot: int) -> None:
        """The worker has ended, in whatever state."""
        self._page[slot] = STARTING
        self._taken.discard(slot)
