"""The load generator against a server whose delays are known, over real sockets.

A busy machine only ever adds time: what must hold exactly are counts and lower bounds.
"""

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvloop

from infra.load.generator import Figures, LoadOutcome, LoadSpec, LoadTarget, at_rate, closed
from tests.conftest import ROOT

GOOD = b'{"probability": 0.25}'
REQUEST = b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}"


def response_bytes(body: bytes = GOOD, *, status: str = "200 OK", more: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + more + b"\r\n" + body


@dataclass
class ReceivedRequests:
    """The requests that the server received."""

    times: list[float] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0


Reply = Callable[[int], Awaitable[bytes | None]]


@asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[tuple[LoadTarget, ReceivedRequests]]:
    """Run a server that sends `reply(i)` to request i; None closes the connection."""
    seen = ReceivedRequests()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while True:
                await reader.readexactly(len(REQUEST))
                seen.times.append(time.perf_counter())
                seen.at_once += 1
                seen.most_at_once = max(seen.most_at_once, seen.at_once)
                response = await reply(len(seen.times) - 1)
                seen.at_once -= 1
                if response is None:
                    break
                writer.write(response)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield LoadTarget("127.0.0.1", port, [REQUEST], "probability"), seen


def under(
    reply: Reply, load: Callable[[LoadTarget], Coroutine[Any, Any, LoadOutcome]]
) -> tuple[LoadOutcome, ReceivedRequests]:
    async def whole() -> tuple[LoadOutcome, ReceivedRequests]:
        async with serving(reply) as (target, seen):
            return await load(target), seen

    return uvloop.run(whole())


async def at_once(_: int) -> bytes:
    return response_bytes()


def test_rate_is_held_and_requests_leave_at_their_times() -> None:
    outcome, seen = under(
        at_once, lambda target: at_rate(target, rate=400, seconds=1.5, connections=8)
    )
    assert len(seen.times) == 600
    assert len(outcome.latencies) == 600
    assert not outcome.errors
    interval = float(np.polyfit(np.arange(600), seen.times, 1)[0])
    assert interval == pytest.approx(1 / 400, rel=0.1)


def test_latency_is_the_servers_delay() -> None:
    async def slow(_: int) -> bytes:
        await asyncio.sleep(0.03)
        return response_bytes()

    outcome, _ = under(slow, lambda target: at_rate(target, rate=100, seconds=1, connections=16))
    assert outcome.percentile(10) < 0.06
    assert float(outcome.latencies.min()) >= 0.029


def test_a_stall_is_charged_to_every_request_that_was_due_in_it() -> None:
    """Two connections only: a generator that waits for answers would see two slow requests."""

    async def stalls_once(number: int) -> bytes:
        async with lock:
            if number == 40:
                await asyncio.sleep(0.5)
        return response_bytes()

    lock = asyncio.Lock()
    outcome, _ = under(
        stalls_once, lambda target: at_rate(target, rate=200, seconds=1.5, connections=2)
    )
    assert len(outcome.latencies) == 300
    # Due evenly within half a second: 100 requests, the first waits 0.5 s and the last not at all.
    charged = np.sort(outcome.latencies)[-100:]
    assert 0.45 < float(charged[-1]) < 2
    assert np.all(charged >= np.linspace(0, 0.5, 100) - 0.05)
    assert float(outcome.latencies[:30].mean()) < 0.25


def test_a_rate_that_cannot_be_held_shows_as_growing_latency() -> None:
    """One at a time, 10 ms each: 100 a second are answered, 200 are asked."""

    async def one_by_one(_: int) -> bytes:
        async with lock:
            await asyncio.sleep(0.01)
        return response_bytes()

    lock = asyncio.Lock()
    outcome, seen = under(
        one_by_one, lambda target: at_rate(target, rate=200, seconds=1, connections=4, grace=4)
    )
    assert len(seen.times) == 200
    assert outcome.per_second < 110
    # The last is due after 1 s and answered after 2 s or more.
    assert outcome.percentile(100) >= 0.95
    quarters = [float(part.mean()) for part in np.split(outcome.latencies, 4)]
    assert quarters == sorted(quarters)
    assert quarters[3] > quarters[0] + 0.5


def test_a_request_without_response_is_an_error_with_its_waiting_time() -> None:
    async def hangs_at_last(number: int) -> bytes | None:
        if number >= 90:
            await asyncio.sleep(60)
        return response_bytes()

    began = time.perf_counter()
    outcome, _ = under(
        hangs_at_last, lambda target: at_rate(target, rate=100, seconds=1, connections=4, grace=0.5)
    )
    assert time.perf_counter() - began < 10
    assert outcome.errors == {"unanswered": 10}
    assert len(outcome.latencies) == 100
    assert outcome.percentile(100) >= 0.55


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (response_bytes(status="503 Service Unavailable"), "503"),
        (response_bytes(status="422 Unprocessable Content"), "422"),
        (response_bytes(b'{"other": 1}'), "body"),
        (response_bytes(b'{"probability": '), "body"),
        (None, "connection"),
    ],
)
def test_errors_are_counted_by_kind(failure: bytes | None, kind: str) -> None:
    async def every_tenth_is_good(number: int) -> bytes | None:
        return response_bytes() if number % 10 == 9 else failure

    outcome, seen = under(
        every_tenth_is_good,
        lambda target: at_rate(target, rate=200, seconds=0.5, connections=8),
    )
    assert len(seen.times) == 100
    if kind == "body":  # of which every 64th is read: the first and the 65th
        assert outcome.errors == {"body": 2}
        assert len(outcome.latencies) == 98
    else:
        assert outcome.errors == {kind: 90}
        assert len(outcome.latencies) == 10


def test_a_server_that_is_not_there_is_an_error() -> None:
    async def load() -> LoadOutcome:
        async with serving(at_once) as (target, _):
            pass
        return await at_rate(target, rate=50, seconds=0.3, connections=2, grace=0.2)

    outcome = uvloop.run(load())
    assert outcome.answered == 0
    assert outcome.errors["connection"] >= 2
    assert outcome.errors["unanswered"] == 15


def test_closed_loop_keeps_every_connection_busy_and_no_more() -> None:
    async def slow(_: int) -> bytes:
        await asyncio.sleep(0.02)
        return response_bytes()

    outcome, seen = under(slow, lambda target: closed(target, connections=5, seconds=1))
    assert seen.connections == seen.most_at_once == 5
    assert 50 < outcome.per_second <= 250
    assert float(outcome.latencies.min()) >= 0.019
    assert outcome.percentile(10) < 0.05
    assert not outcome.errors
    assert outcome.busy is not None


def test_responses_in_pieces_in_chunks_and_before_closing() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"6\r\n" + GOOD[:6] + b"\r\nf;note=1\r\n" + GOOD[6:] + b"\r\n0\r\n\r\n"
    )
    tensor = GOOD + b"\x00\xff"
    binary = response_bytes(
        tensor, more=f"Inference-Header-Content-Length: {len(GOOD)}\r\n".encode()
    )
    kinds = [
        chunked,
        binary,
        response_bytes(more=b"Connection: close\r\n"),
        response_bytes(GOOD + b" " * 200_000),
    ]

    async def load(target: LoadTarget) -> LoadOutcome:
        return await at_rate(target, rate=400, seconds=0.8, connections=4)

    for kind in kinds:
        # Of every kind the 1st, 65th and so on is read whole.
        async def reply(_: int, kind: bytes = kind) -> bytes:
            return kind

        outcome, _ = under(reply, load)
        assert not outcome.errors
        assert len(outcome.latencies) == 320


def test_the_process_prints_its_figures() -> None:
    async def whole() -> bytes:
        async with serving(at_once) as (target, _):
            spec = LoadSpec(
                host=target.host,
                port=target.port,
                requests=[base64.b64encode(each).decode() for each in target.requests],
                key=target.key,
                connections=4,
                seconds=0.5,
                rate=100,
            )
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "infra.load.generator"),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            output, _ = await process.communicate(spec.model_dump_json().encode())
            return output

    figures = Figures.model_validate(json.loads(asyncio.run(whole())))
    assert 20 < figures.per_second <= 100
    assert figures.errors == {}
    assert figures.p50 is not None
    assert figures.max is not None
    assert 0 < figures.p50 <= figures.max < 5000
