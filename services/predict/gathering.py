"""Calls for many keys at once, made of callers who ask for few: whoever asks while one runs goes
into the next. No timer: a caller who is alone waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class Gathering(Generic[Key, Found]):
    """One call at a time, for all who wait by then; of one event loop."""

    def __init__(
        self, call: Callable[[list[Key]], Awaitable[Sequence[Found]]], *, most: int
    ) -> None:
        """
        Args:
            call: answers each key, in order; asked for none twice.
            most: keys in a call; a caller with more is not split.
        """
        self._call, self._most = call, most
        self._waiting: list[tuple[list[Key], asyncio.Future[list[Found]]]] = []
        self._running = False

    async def ask(self, keys: list[Key]) -> list[Found]:
        """What was found, in the order of `keys`.

        Raises:
            Exception: whatever the call raised, to all who were in it.
        """
        future: asyncio.Future[list[Found]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, future))
        if not self._running:
            self._next()
        return await future

    def _next(self) -> None:
        taken, keys = 0, dict[Key, None]()
        while taken < len(self._waiting):
            own, future = self._waiting[taken]
            if taken and len(keys) + len(own) > self._most:
                break
            if not future.done():
                keys.update(dict.fromkeys(own))
            taken += 1
        asked, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._running = bool(keys)
        if not keys:
            return
        call = asyncio.ensure_future(self._call(list(keys)))
        call.add_done_callback(lambda done: self._answer(list(keys), asked, done))

    def _answer(
        self,
        keys: list[Key],
        asked: list[tuple[list[Key], "asyncio.Future[list[Found]]"]],
        call: "asyncio.Future[Sequence[Found]]",
    ) -> None:
        fault = asyncio.CancelledError() if call.cancelled() else call.exception()
        found = {} if fault else dict(zip(keys, call.result(), strict=True))
        for own, future in asked:
            if future.done():
                continue  # its caller has gone
            if fault:
                future.set_exception(fault)
            else:
                future.set_result([found[key] for key in own])
        self._next()
