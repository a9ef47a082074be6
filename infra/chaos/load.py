"""Callers at a fixed rate, each answer kept with its id.

A request is due whatever became of those before it, and its latency counts from then. Unlike the
generator of benchmarks/load.py, whose requests wait until there is a connection, a caller here who
is refused one has seen an error: that is what is asked about.
"""

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from slipway import home

# A caller gives up: more than the proxy lets any server take for a prediction.
PATIENCE_SECONDS = 20.0
CONNECTION, TIMEOUT, BODY = "connection", "timeout", "body"
OK = "200"


@dataclass(frozen=True, slots=True)
class Answer:
    due: float
    """By the monotonic clock, seconds."""
    seconds: float
    """From when it was due."""
    status: str
    """Of HTTP; `connection` if it was refused or lost, `timeout`, `body` if 200 held no answer."""
    id: str = ""
    """Of the prediction."""

    @property
    def good(self) -> bool:
        return self.status == OK


@dataclass
class Caller:
    """Asks for one model's predictions, `rate` a second, one body after the other."""

    name: str
    model: str
    bodies: Sequence[bytes]
    rate: float
    answers: list[Answer] = field(default_factory=list)
    pending: set[float] = field(default_factory=set)
    """When those were due that are not answered yet."""
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[Answer]:
        """Answers to what fell due from `start` to before `end`."""
        return [each for each in self.answers.copy() if start <= each.due < end]

    @property
    def oldest_pending(self) -> float:
        """When it was due; infinite without any."""
        return min(self.pending.copy(), default=float("inf"))


class Load:
    """Runs in a thread of its own until it is stopped."""

    def __init__(self, callers: Sequence[Caller], *, port: int, key: str) -> None:
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

    async def _call(self, caller: Caller) -> None:
        under_way: set[asyncio.Task[None]] = set()
        began, number = time.monotonic(), 0
        while not self._stopping.is_set():
            due = began + number / caller.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            body = caller.bodies[number % len(caller.bodies)]
            caller.pending.add(due)
            task = asyncio.create_task(self._ask(caller, due, body))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        if under_way:
            await asyncio.wait(under_way)
        for _, writer in caller._idle:
            writer.close()

    async def _ask(self, caller: Caller, due: float, body: bytes) -> None:
        status, id = TIMEOUT, ""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, id = await self._exchange(caller, body)
        except TimeoutError:
            status = TIMEOUT
        except (OSError, EOFError, ValueError):
            status = CONNECTION
        finally:
            caller.answers.append(Answer(due, time.monotonic() - due, status, id))
            caller.pending.discard(due)

    async def _exchange(self, caller: Caller, body: bytes) -> tuple[str, str]:
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
            told = json.loads(content)
            return (OK, str(told["id"])) if told["predictions"] else (BODY, "")
        except (ValueError, KeyError, TypeError):
            return BODY, ""

    async def _connected(self, caller: Caller) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that is open already, or a new one; what the proxy has closed is not used again."""
        while caller._idle:
            reader, writer = caller._idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return await asyncio.open_connection(home.LOOPBACK, self._port)

    def _request(self, caller: Caller, body: bytes) -> bytes:
        lines = [
            f"POST /v1/models/{caller.model}/predict HTTP/1.1",
            f"Host: {home.LOOPBACK}:{self._port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Authorization: Bearer {self._key}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _length(head: bytes) -> int:
    """Of the body; ValueError without one."""
    _, _, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0])
