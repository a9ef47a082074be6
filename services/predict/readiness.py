"""The startup state of each worker, which decides which workers accept requests.

All workers share one listening socket, so the kernel hands a connection to any worker that accepts.
A worker that has not loaded its models therefore accepts none while another worker does. Workers
share their state in a page of memory with one byte per worker: the worker writes its byte, and the
supervisor resets it when the worker has ended.
"""

import mmap
import os
import tempfile

SLOTS = mmap.PAGESIZE
# The values of a byte, in the order in which a worker reaches them.
STARTING, ACCEPTING, LOADED = 0, 1, 2


class Readiness:
    """A worker's view: it writes its own state and reads the states of the others."""

    def __init__(self, descriptor: int | None = None, slot: int = 0) -> None:
        """Map the supervisor's page; without a descriptor, a private page."""
        self._page = mmap.mmap(-1 if descriptor is None else descriptor, SLOTS)
        self._slot = slot

    def reach(self, state: int) -> None:
        """Publish that this worker has reached `state`; a state never goes back."""
        self._page[self._slot] = max(state, self._page[self._slot])

    @property
    def others(self) -> int:
        """The most advanced state of the other workers; STARTING if there are none."""
        states = bytearray(self._page)
        states[self._slot] = STARTING
        return max(states)


class Slots:
    """The supervisor's view: it assigns a slot of the page to each running worker."""

    def __init__(self) -> None:
        self.descriptor, name = tempfile.mkstemp()
        """The descriptor of the page, inherited by the workers; open until this process ends."""
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
        """Reset and release the slot of a worker that has ended."""
        self._page[slot] = STARTING
        self._taken.discard(slot)
