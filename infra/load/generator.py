"""A load generator for HTTP/1.1: closed loop, or open loop at a fixed rate.

Client libraries cost more than the servers that are measured, so this generator implements the
protocol itself on asyncio with uvloop. It checks the status line of every response and the whole
body of every 64th.

Open loop: request i is due at start + i / rate regardless of earlier requests, and its latency
counts from then. A server (or a connection) that delays later requests is charged for their
waiting; see Gil Tene, "How NOT to Measure Latency" (2015), on coordinated omission.
"""

import asyncio
import base64
import gc
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

HEAD_END = b"\r\n\r\n"
CHECK_EVERY = 64
RECONNECT_SECONDS = 0.02
REST_SECONDS = 0.001


@dataclass(frozen=True)
class LoadTarget:
    """The server and the requests to send, each complete: request line, headers and body."""

    host: str
    port: int
    requests: Sequence[bytes]
    key: str
    """A key that the response must contain."""


@dataclass
class LoadOutcome:
    """The result of a run.

    `latencies` are seconds, of successful responses and of requests without a response.
    """

    seconds: float
    latencies: np.ndarray
    errors: dict[str, int]
    """Counts by kind: a status that is not 200, `body`, `connection`, `unanswered`."""
    answered: int
    """Successful responses within the time; the last responses may arrive after it."""
    busy: float | None = None
    """The generator's share of CPU time: near 1 it was the bottleneck (closed loop)."""
    late: float = 0.0
    """99th percentile of the generator's own delay in sending, in seconds (open loop)."""

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        """Return seconds; NaN without any response."""
        if not len(self.latencies):
            return float("nan")
        return float(np.percentile(self.latencies, share))


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request in progress."""

    __slots__ = ("buffer", "due", "needed", "run", "transport")

    def __init__(self, run: "LoadRun") -> None:
        self.run = run
        self.transport: Any = None
        self.buffer = b""
        self.needed = 0
        self.due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.run.ready(self)

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        if len(data) < self.needed:
            self.buffer = data
            return
        end = data.find(HEAD_END)
        if end < 0:
            self.buffer = data
            return
        head = data[:end].lower()
        # Include the line's start: tensors also have an Inference-Header-Content-Length.
        place = head.find(b"\r\ncontent-length:")
        if place >= 0:
            length = int(head[place + 17 :].split(b"\r\n", 1)[0])
            whole = self.needed = end + 4 + length
        elif b"transfer-encoding: chunked" in head:
            whole = chunks_end(data, end + 4)
        else:
            self.run.fault("body")
            self.transport.abort()
            return
        if not 0 < whole <= len(data):
            self.buffer = data
            return
        self.buffer, self.needed = b"", 0
        due, self.due = self.due, None
        if due is None or whole < len(data):
            self.run.fault("body")  # a response without a request
            self.transport.abort()
            return
        closing = b"connection: close" in head
        if closing:
            self.transport.close()
        self.run.answered(self, due, data, end + 4, closing)

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost(self)


def chunks_end(data: bytes, place: int) -> int:
    """Return where a chunked body that begins at `place` ends; 0 while it is incomplete."""
    while True:
        line = data.find(b"\r\n", place)
        if line < 0:
            return 0
        size = int(data[place:line].split(b";", 1)[0], 16)
        place = line + 2 + size + 2
        if len(data) < place:
            return 0
        if size == 0:
            return place


def body_of(data: bytes, start: int) -> bytes:
    """Return the body of a response whose head ends at `start`, joined if it is chunked."""
    if b"transfer-encoding: chunked" not in data[:start].lower():
        return data[start:]
    parts: list[bytes] = []
    while True:
        line = data.index(b"\r\n", start)
        size = int(data[start:line].split(b";", 1)[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(data[line + 2 : line + 2 + size])
        start = line + 4 + size


def holds(data: bytes, start: int, key: str) -> bool:
    """Return whether the JSON body, or the JSON header of binary tensors, contains `key`."""
    head, body = data[:start].lower(), body_of(data, start)
    mark = b"inference-header-content-length:"
    if mark in head:
        body = body[: int(head.partition(mark)[2].split(b"\r\n", 1)[0])]
    try:
        json.loads(body)
    except ValueError:
        return False
    return f'"{key}"'.encode() in body


class LoadRun:
    """A run in progress: the code that both loops share."""

    def __init__(self, target: LoadTarget, connections: int) -> None:
        self.target = target
        self.connections = connections
        self.loop = asyncio.get_running_loop()
        self.requests = cycle(target.requests)
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.within = self.seen = 0
        self.stop_at = float("inf")
        self.open: set[Connection] = set()
        self.opening: set[asyncio.Task[None]] = set()
        self.over = False

    def ready(self, connection: Connection) -> None:
        """Called when a connection has no request in progress."""
        raise NotImplementedError

    def answered(
        self, connection: Connection, due: float, data: bytes, start: int, closing: bool
    ) -> None:
        now = time.perf_counter()
        self.seen += 1
        if not data.startswith(b"HTTP/1.1 200"):
            self.errors[data[9:12].decode("latin-1")] += 1
        elif self.seen % CHECK_EVERY == 1 and not holds(data, start, self.target.key):
            self.errors["body"] += 1
        else:
            self.latencies.append(now - due)
            self.within += now <= self.stop_at
        if not closing:
            self.ready(connection)

    def fault(self, kind: str) -> None:
        self.errors[kind] += 1

    def lost(self, connection: Connection) -> None:
        self.open.discard(connection)
        if connection.due is not None:
            connection.due = None
            self.errors["connection"] += 1
        self.reopen()

    def reopen(self, after: float = 0.0) -> None:
        if not self.over:
            task = self.loop.create_task(self._connect(after))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    async def _connect(self, after: float) -> None:
        await asyncio.sleep(after)
        try:
            _, connection = await self.loop.create_connection(
                lambda: Connection(self), self.target.host, self.target.port
            )
        except OSError:
            self.errors["connection"] += 1
            self.reopen(RECONNECT_SECONDS)
        else:
            self.open.add(connection)

    async def connect(self) -> None:
        """Open all connections; refused ones are counted and retried."""
        await asyncio.gather(*(self._connect(0) for _ in range(self.connections)))

    @property
    def under_way(self) -> list[Connection]:
        return [each for each in self.open if each.due is not None]

    async def finish(self, grace: float) -> None:
        """Wait for responses that are still due, then close."""
        deadline = time.perf_counter() + grace
        while self.under_way and time.perf_counter() < deadline:
            await asyncio.sleep(0.005)
        self.over = True
        for task in list(self.opening):
            task.cancel()

    def close(self) -> None:
        for connection in list(self.open):
            connection.due = None
            connection.transport.abort()


class Closed(LoadRun):
    """Closed loop: every connection sends its next request after the previous response."""

    sending = False

    def ready(self, connection: Connection) -> None:
        if self.sending:
            connection.send(next(self.requests), time.perf_counter())


class Open(LoadRun):
    """Open loop: requests at fixed times; waiting for a free connection counts as latency."""

    def __init__(
        self, target: LoadTarget, connections: int, rate: float, total: int, resting: bool
    ) -> None:
        super().__init__(target, connections)
        self.resting = resting
        self.free: list[Connection] = []
        self.waiting: deque[float] = deque()
        self.late: list[float] = []
        self.rate, self.total, self.next = rate, total, 0
        self.started = 0.0

    def ready(self, connection: Connection) -> None:
        if self.waiting:
            connection.send(next(self.requests), self.waiting.popleft())
        else:
            self.free.append(connection)

    def lost(self, connection: Connection) -> None:
        if connection in self.free:
            self.free.remove(connection)
        super().lost(connection)

    def tick(self) -> None:
        """Send the requests that are due, at every turn of the event loop (timers have 1 ms steps).

        With `resting` it uses a timer: requests are sent up to 1 ms late, which counts as latency.
        """
        now = time.perf_counter()
        while self.next < self.total:
            due = self.started + self.next / self.rate
            if due > now:
                break
            self.next += 1
            self.late.append(now - due)
            if self.free:
                self.free.pop().send(next(self.requests), due)
            else:
                self.waiting.append(due)
        if self.next < self.total:
            if self.resting:
                self.loop.call_later(REST_SECONDS, self.tick)
            else:
                self.loop.call_soon(self.tick)


async def closed(
    target: LoadTarget, *, connections: int, seconds: float, grace: float = 5.0
) -> LoadOutcome:
    """Send as fast as the server responds for `seconds`; wait `grace` for the last responses."""
    run = Closed(target, connections)
    await run.connect()
    run.sending = True
    began, computed = time.perf_counter(), time.process_time()
    run.stop_at = began + seconds
    for connection in list(run.open):
        run.ready(connection)
    await asyncio.sleep(seconds)
    run.sending = False
    busy = (time.process_time() - computed) / (time.perf_counter() - began)
    await run.finish(grace)
    run.errors["unanswered"] += len(run.under_way)
    run.close()
    return LoadOutcome(seconds, np.array(run.latencies), dict(+run.errors), run.within, busy)


async def at_rate(
    target: LoadTarget,
    *,
    rate: float,
    seconds: float,
    connections: int,
    grace: float = 5.0,
    resting: bool = False,
) -> LoadOutcome:
    """Send `rate` requests a second for `seconds`; no response after `grace` is an error.

    Such a request counts with the time that it has waited by then: otherwise a server that hangs
    would look faster than a slow one. `resting` leaves the core to other processes between
    requests, for machines where server and generator share it.
    """
    run = Open(target, connections, rate, round(rate * seconds), resting)
    await run.connect()
    run.started = time.perf_counter()
    run.stop_at = run.started + seconds
    run.tick()
    await asyncio.sleep(seconds)
    while run.waiting and time.perf_counter() < run.stop_at + grace:
        await asyncio.sleep(0.005)
    await run.finish(run.stop_at + grace - time.perf_counter())
    now = time.perf_counter()
    left = [each.due for each in run.under_way if each.due is not None] + list(run.waiting)
    run.errors["unanswered"] += len(left)
    run.close()
    latencies = np.array(run.latencies + [now - due for due in left])
    late = float(np.percentile(run.late, 99)) if run.late else 0.0
    return LoadOutcome(seconds, latencies, dict(+run.errors), run.within, late=late)


class LoadSpec(BaseModel):
    """The generator's input on standard input when it runs as a separate process."""

    model_config = ConfigDict(extra="forbid")

    host: str
    port: int = Field(ge=1, le=65535)
    requests: list[str] = Field(min_length=1, description="Base64")
    key: str
    connections: int = Field(ge=1)
    seconds: float = Field(gt=0)
    rate: float | None = Field(default=None, gt=0)
    nice: int = Field(default=0, ge=0, le=19)
    resting: bool = False


class Figures(BaseModel):
    """The generator's output; times in milliseconds."""

    model_config = ConfigDict(extra="forbid")

    per_second: float
    p50: float | None
    p99: float | None
    p999: float | None
    max: float | None
    errors: dict[str, int]
    busy: float | None
    late: float


def figures(outcome: LoadOutcome) -> Figures:
    shares = {"p50": 50, "p99": 99, "p999": 99.9, "max": 100}
    some = len(outcome.latencies) > 0
    return Figures(
        **{name: outcome.percentile(at) * 1000 if some else None for name, at in shares.items()},
        per_second=outcome.per_second,
        errors=outcome.errors,
        busy=outcome.busy,
        late=outcome.late * 1000,
    )


def run_load(spec: LoadSpec) -> Figures:
    import uvloop

    os.nice(spec.nice)
    requests = [base64.b64decode(each) for each in spec.requests]
    target = LoadTarget(spec.host, spec.port, requests, spec.key)
    # Garbage collection pauses of the generator would be charged to the server.
    gc.disable()
    if spec.rate is None:
        run = closed(target, connections=spec.connections, seconds=spec.seconds)
    else:
        run = at_rate(
            target,
            rate=spec.rate,
            seconds=spec.seconds,
            connections=spec.connections,
            resting=spec.resting,
        )
    return figures(uvloop.run(run))


if __name__ == "__main__":
    print(run_load(LoadSpec.model_validate_json(sys.stdin.buffer.read())).model_dump_json())
