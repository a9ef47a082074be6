"""Batches concurrent lookups: callers who wait while a call runs share the next one.

There is no timer: a single caller waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Batcher(Generic[Key, Value]):
    """One call at a time, for all callers that wait by then; it belongs to one event loop."""

    def __init__(
        self, call: Callable[[list[Key]], Awaitable[Sequence[Value]]], *, max_keys: int
    ) -> None:
        """Wait for keys.

        Args:
            call: returns the value of each key, in order; no key comes twice.
            max_keys: keys in one call; a caller with more keys is not split.
        """
        self._call, self._max_keys = call, max_keys
        self._waiting: list[tuple[list[Key], asyncio.Future[list[Value]]]] = []
        self._running = False

    async def get(self, keys: list[Key]) -> list[Value]:
        """Return the values, in the order of `keys`.

        Raises:
            Exception: whatever the call raised; all callers in it get it.
        """
        future: asyncio.Future[list[Value]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, future))
        if not self._running:
            self._call_next()
        return await future

    def _call_next(self) -> None:
        taken, keys = 0, dict[Key, None]()
        while taken < len(self._waiting):
            own, future = self._waiting[taken]
            if taken and len(keys) + len(own) > self._max_keys:
                break
            if not future.done():
                keys.update(dict.fromkeys(own))
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._running = bool(keys)
        if not keys:
            return
        call = asyncio.ensure_future(self._call(list(keys)))
        call.add_done_callback(lambda done: self._resolve(list(keys), batch, done))

    def _resolve(
        self,
        keys: list[Key],
        batch: list[tuple[list[Key], "asyncio.Future[list[Value]]"]],
        call: "asyncio.Future[Sequence[Value]]",
    ) -> None:
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        values = {} if error else dict(zip(keys, call.result(), strict=True))
        for own, future in batch:
            if future.done():
                continue  # its caller has disconnected
            if error:
                future.set_exception(error)
            else:
                future.set_result([values[key] for key in own])
        self._call_next()
