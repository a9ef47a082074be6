"""Callers who ask for few keys, answered together."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from services.predict.gathering import Gathering


class Store:
    """Squares numbers; a call ends when `open` is set. Keys over a thousand break it."""

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
async def test_who_asks_meanwhile_goes_into_the_next_call() -> None:
    store = Store()
    gathering = Gathering(store.squares, most=10)
    asked = [asyncio.create_task(gathering.ask(keys)) for keys in ([1], [2, 3], [3, 1])]
    await asyncio.sleep(0.01)
    assert store.calls == [[1]]  # alone, it waited for nobody
    store.open.set()
    assert await asyncio.gather(*asked) == [[1], [4, 9], [9, 1]]
    assert store.calls == [[1], [2, 3, 1]]  # no key twice
    assert await gathering.ask([5]) == [25]


@on_loop
async def test_a_call_has_its_limit_and_nobody_is_split() -> None:
    store = Store()
    gathering = Gathering(store.squares, most=3)
    sizes = ([1], [2, 3], [4, 5], [6], list(range(10, 20)))
    asked = [asyncio.create_task(gathering.ask(keys)) for keys in sizes]
    await asyncio.sleep(0.01)
    store.open.set()
    assert [len(found) for found in await asyncio.gather(*asked)] == [1, 2, 2, 1, 10]
    assert store.calls == [[1], [2, 3], [4, 5, 6], list(range(10, 20))]


@on_loop
async def test_a_fault_is_told_to_those_in_the_call_alone() -> None:
    store = Store()
    gathering = Gathering(store.squares, most=2)
    asked = [asyncio.create_task(gathering.ask(keys)) for keys in ([1], [2, 2000], [3])]
    await asyncio.sleep(0.01)
    store.open.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert found[0] == [1]
    assert str(found[1]) == "too large"
    assert found[2] == [9]


@on_loop
async def test_a_caller_who_gives_up_holds_nobody_up() -> None:
    store = Store()
    gathering = Gathering(store.squares, most=10)
    first, gone, kept = (asyncio.create_task(gathering.ask([key])) for key in (1, 2, 3))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.sleep(0)
    store.open.set()
    assert [await first, await kept] == [[1], [9]]
    assert store.calls == [[1], [3]]
    with pytest.raises(asyncio.CancelledError):
        await gone
    first = asyncio.create_task(gathering.ask([4]))
    await asyncio.sleep(0)
    first.cancel()
    assert await gathering.ask([5]) == [25]
