"""Decoded media, kept by their content, so that a checked field is decoded once."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np

# Room for a few photographs, or for hundreds of small pictures of a batch.
MAX_BYTES = 64_000_000


class DecodeCache:
    """Arrays by encoded bytes and parameters; the least recently used are dropped.

    The key is the encoded bytes themselves, not a hash of them: Python keeps the hash in the
    object, so a second look-up of a record's field costs nothing. They count against the limit.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[bytes, object], np.ndarray] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Return the bytes held, encoded and decoded."""
        return self._size

    def get(self, data: bytes, parameters: object, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what `decode` returned for this content, read-only because it is shared.

        Two threads may decode the same content at the same time; neither waits for the other.
        """
        key = (data, parameters)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        array = decode()
        array.setflags(write=False)
        self._keep(key, array)
        return array

    def _keep(self, key: tuple[bytes, object], array: np.ndarray) -> None:
        cost = _cost(key, array)
        if cost > self._max_bytes:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = array
            self._size += cost
            while self._size > self._max_bytes:
                oldest, dropped = self._entries.popitem(last=False)
                self._size -= _cost(oldest, dropped)


def _cost(key: tuple[bytes, object], array: np.ndarray) -> int:
    return len(key[0]) + array.nbytes


decoded = DecodeCache()
"""The arrays of this process."""
