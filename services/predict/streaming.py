"""Sends a streamed prediction as server-sent events, as fast as its caller takes them.

The model runs ahead of the caller by what fits into a pipe and the connection's buffers, no more.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing

from starlette.types import Send

from services.predict.payload import json_payload
from services.predict.predictor import Prediction
from services.web.problem import Problem

log = logging.getLogger("slipway.predict")

HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"slipway-pace", b"slow"),
    # Proxies such as nginx collect a response before they pass it on, unless they see this.
    (b"x-accel-buffering", b"no"),
)
KEEP_ALIVE, KEEP_ALIVE_SECONDS = b": keep-alive\n\n", 10.0
FAILED = Problem(500, "Internal error", "the server failed; its log says why")


async def prediction_events(
    stream: AsyncGenerator[list[bytes] | Prediction, None],
) -> AsyncGenerator[bytes, None]:
    """Yield the events of `Predictor.stream`: one for each chunk, and last the prediction.

    Raises:
        Problem: whatever the stream raises.
    """
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, list):
                yield b"".join(_event(b"chunk", chunk) for chunk in item)
            else:
                yield _event(b"prediction", json_payload(item))


async def send_events(
    events: AsyncGenerator[bytes, None], disconnected: Awaitable[object], send: Send, seconds: float
) -> None:
    """Send the events until they end, the caller disconnects, or takes nothing for `seconds`.

    A failure after the start of the response becomes its last event.

    Raises:
        Problem: the request failed before the response started.
    """
    response = _EventResponse(send, seconds)
    gone = asyncio.ensure_future(disconnected)
    try:
        async with aclosing(events):
            await _forward(events, gone, response)
    except Problem as problem:
        if not response.started:
            raise
        await response.end(_event(b"error", problem.body()))
    except TimeoutError:
        log.info("a caller took nothing for %g s; its stream was stopped", seconds)
    except Exception:
        if not response.started:
            raise
        log.exception("a stream failed")
        await response.end(_event(b"error", FAILED.body()))
    finally:
        gone.cancel()


async def _forward(
    events: AsyncGenerator[bytes, None],
    gone: "asyncio.Future[object]",
    response: "_EventResponse",
) -> None:
    while not gone.done():
        step = asyncio.ensure_future(_next(events))
        try:
            while not (step.done() or gone.done()):
                await asyncio.wait(
                    (step, gone),
                    timeout=KEEP_ALIVE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not (step.done() or gone.done()):
                    await response.write(KEEP_ALIVE)
        finally:
            if not step.done():
                step.cancel()
                # The generator cannot be closed while it still runs.
                await asyncio.wait((step,))
        if step.cancelled():
            return
        event = step.result()
        if event is None:
            await response.end()
            return
        await response.write(event)


async def _next(events: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(events, None)


class _EventResponse:
    """An HTTP response that starts with its first event."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send, self._seconds, self.started = send, seconds, False

    async def write(self, content: bytes, *, more: bool = True) -> None:
        """Send the content once the connection has room for it.

        Raises:
            TimeoutError: the caller took nothing in time.
        """
        async with asyncio.timeout(self._seconds):
            if not self.started:
                self.started = True
                await self._send(
                    {"type": "http.response.start", "status": 200, "headers": list(HEADERS)}
                )
            await self._send({"type": "http.response.body", "body": content, "more_body": more})

    async def end(self, content: bytes = b"") -> None:
        with contextlib.suppress(TimeoutError):
            await self.write(content, more=False)


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, data)
