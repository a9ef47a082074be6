"""Concurrent lookups that share calls."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from services.predict.batching import Batcher


class Store:
    """Squares numbers; a call ends when `open` is set and raises for keys over a thousand."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.calls: list[list[int]] = []

    async def squares(self, keys: list[int]) -> list[int]:
        self.calls.append(keys)
        await self.open.wait()
        if max(keys) > 1000:
            raise OSError("too large")
        return [key * key for key in keys]


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@on_loop
async def test_callers_that_wait_share_the_next_call() -> None:
    store = Store()
    batcher = Batcher(store.squares, max_keys=10)
    tasks = [asyncio.create_task(batcher.get(keys)) for keys in ([1], [2, 3], [3, 1])]
    await asyncio.sleep(0.01)
    assert store.calls == [[1]]  # the first caller did not wait for others
    store.open.set()
    assert await asyncio.gather(*tasks) == [[1], [4, 9], [9, 1]]
    assert store.calls == [[1], [2, 3, 1]]  # no key comes twice
    assert await batcher.get([5]) == [25]


@on_loop
async def test_a_call_has_a_limit_and_no_caller_is_split() -> None:
    store = Store()
    batcher = Batcher(store.squares, max_keys=3)
    sizes = ([1], [2, 3], [4, 5], [6], list(range(10, 20)))
    tasks = [asyncio.create_task(batcher.get(keys)) for keys in sizes]
    await asyncio.sleep(0.01)
    store.open.set()
    assert [len(values) for values in await asyncio.gather(*tasks)] == [1, 2, 2, 1, 10]
    assert store.calls == [[1], [2, 3], [4, 5, 6], list(range(10, 20))]


@on_loop
async def test_an_error_reaches_only_the_callers_in_the_call() -> None:
    store = Store()
    batcher = Batcher(store.squares, max_keys=2)
    tasks = [asyncio.create_task(batcher.get(keys)) for keys in ([1], [2, 2000], [3])]
    await asyncio.sleep(0.01)
    store.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == [1]
    assert str(results[1]) == "too large"
    assert results[2] == [9]


@on_loop
async def test_a_cancelled_caller_delays_nobody() -> None:
    store = Store()
    batcher = Batcher(store.squares, max_keys=10)
    first, cancelled, kept = (asyncio.create_task(batcher.get([key])) for key in (1, 2, 3))
    await asyncio.sleep(0.01)
    cancelled.cancel()
    await asyncio.sleep(0)
    store.open.set()
    assert [await first, await kept] == [[1], [9]]
    assert store.calls == [[1], [3]]
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    first = asyncio.create_task(batcher.get([4]))
    await asyncio.sleep(0)
    first.cancel()
    assert await batcher.get([5]) == [25]
