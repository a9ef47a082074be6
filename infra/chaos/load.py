"""Callers at a fixed rate; each response is kept with its id.

Requests are sent on schedule, regardless of earlier ones, and latency counts from when a
request was due. In infra/load/generator.py a request waits for a free connection; here a caller
whose connection is refused counts it as an error, since errors are what is measured.
"""

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from slipway import home

# A caller's timeout: longer than the proxy lets any server take for a prediction.
PATIENCE_SECONDS = 20.0
CONNECTION, TIMEOUT, BODY = "connection", "timeout", "body"
OK = "200"


@dataclass(frozen=True, slots=True)
class Response:
    due: float
    """When the request was due, in seconds of the monotonic clock."""
    seconds: float
    """Latency from when the request was due."""
    status: str
    """The HTTP status; `connection` if refused or lost, `timeout`, or `body` for a malformed
    200."""
    id: str = ""
    """Id of the prediction."""

    @property
    def good(self) -> bool:
        return self.status == OK


@dataclass
class LoadCaller:
    """Sends `rate` prediction requests a second to one model, cycling through the bodies."""

    name: str
    model: str
    bodies: Sequence[bytes]
    rate: float
    responses: list[Response] = field(default_factory=list)
    pending: set[float] = field(default_factory=set)
    """Due times of the requests without a response so far."""
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[Response]:
        """Return the responses to requests due from `start` to before `end`."""
        return [each for each in self.responses.copy() if start <= each.due < end]

    @property
    def oldest_pending(self) -> float:
        """Due time of the oldest pending request; infinite if there is none."""
        return min(self.pending.copy(), default=float("inf"))


class Load:
    """Runs all callers in a thread of its own until it is stopped."""

    def __init__(self, callers: Sequence[LoadCaller], *, port: int, key: str = "") -> None:
        self.callers = callers
        self._port, self._key = port, key
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._call(caller) for caller in self.callers))

    async def _call(self, caller: LoadCaller) -> None:
        under_way: set[asyncio.Task[None]] = set()
        began, number = time.monotonic(), 0
        while not self._stopping.is_set():
            due = began + number / caller.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            body = caller.bodies[number % len(caller.bodies)]
            caller.pending.add(due)
            task = asyncio.create_task(self._send(caller, due, body))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        if under_way:
            await asyncio.wait(under_way)
        for _, writer in caller._idle:
            writer.close()

    async def _send(self, caller: LoadCaller, due: float, body: bytes) -> None:
        status, id = TIMEOUT, ""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, id = await self._exchange(caller, body)
        except TimeoutError:
            status = TIMEOUT
        except (OSError, EOFError, ValueError):
            status = CONNECTION
        finally:
            caller.responses.append(Response(due, time.monotonic() - due, status, id))
            caller.pending.discard(due)

    async def _exchange(self, caller: LoadCaller, body: bytes) -> tuple[str, str]:
        reader, writer = await self._connected(caller)
        kept = False
        try:
            writer.write(self._request(caller, body))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            content = await reader.readexactly(_length(head))
            kept = b"connection: close" not in head
        finally:
            if kept:
                caller._idle.append((reader, writer))
            else:
                writer.close()
        status = head[9:12].decode()
        if status != OK:
            return status, ""
        try:
            response = json.loads(content)
            return (OK, str(response["id"])) if response["predictions"] else (BODY, "")
        except (ValueError, KeyError, TypeError):
            return BODY, ""

    async def _connected(
        self, caller: LoadCaller
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return an idle connection or a new one; connections that the proxy closed are
        discarded."""
        while caller._idle:
            reader, writer = caller._idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return await asyncio.open_connection(home.LOOPBACK, self._port)

    def _request(self, caller: LoadCaller, body: bytes) -> bytes:
        lines = [
            f"POST /v1/models/{caller.model}/predict HTTP/1.1",
            f"Host: {home.LOOPBACK}:{self._port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        if self._key:
            lines.append(f"Authorization: Bearer {self._key}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _length(head: bytes) -> int:
    """Return the length of the body; ValueError without a Content-Length header."""
    _, _, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0])
