"""Uvicorn's HTTP/1.1 protocol, with a fast path for predictions and a graceful shutdown.

A prediction whose model is cheap gets its response as soon as the body is here, without the scope,
task and messages of ASGI, which took 35 of the 140 microseconds of such a request. Every other
request goes through ASGI as usual.
"""

import logging
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.predict.endpoint import FAILED, problem_bytes

log = logging.getLogger("slipway.predict")

# At shutdown an idle connection stays open this long: its client may be sending a request.
GOODBYE_SECONDS = 1.0
IDLE_SECONDS = 75.0


class FastPath(NamedTuple):
    """The way around ASGI."""

    paths: Callable[[], dict[bytes, str]]
    """Returns project names by the path of their prediction endpoint."""
    respond: Callable[[str, dict[bytes, bytes], bytes], bytes | None]
    """Returns the whole HTTP response to a project, headers and body; None if it has to wait."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    leaving: ClassVar[bool] = False
    """True if the process stops: responses then say `Connection: close`."""
    fast_path: ClassVar["FastPath | None"] = None
    slow_seconds: ClassVar[float] = 30.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held: list[bytes] | None = None
        self._project = ""
        self._began: float | None = None
        self._closing_since: float | None = None
        self._last = self.loop.time()

    def on_message_begin(self) -> None:
        # The ASGI scope is created only when it is needed.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._began = self.loop.time()

    def on_headers_complete(self) -> None:
        project = self.fast_path.paths().get(self.url) if self.fast_path else None
        if project is not None and self._is_plain():
            self._project, self._held = project, []
        else:
            self._use_asgi()

    def _is_plain(self) -> bool:
        """Return whether the request and its connection need nothing but a response."""
        return (
            not self.leaving
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (self.limit_concurrency is None or len(self.connections) < self.limit_concurrency)
        )

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
            return
        self._held.append(body)
        if len(self._held) > 1 and sum(map(len, self._held)) > 2**16:
            self._release()

    def on_message_complete(self) -> None:
        self._began, self._last = None, self.loop.time()
        if self._held is not None:
            held = self._held
            body = held[0] if len(held) == 1 else b"".join(held)
            try:
                assert self.fast_path is not None
                response = self.fast_path.respond(self._project, dict(self.headers), body)
            except Exception:
                log.exception("a request failed")
                response = problem_bytes(FAILED)
            if response is not None:
                self._held = None
                self.server_state.total_requests += 1
                self.transport.write(response)
                return
            self._release()
        super().on_message_complete()

    def _release(self) -> None:
        """Hand the request over to ASGI after all."""
        held, self._held = self._held or [], None
        self._use_asgi()
        for part in held:
            super().on_body(part)

    def _use_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        super().on_headers_complete()
        if Protocol.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        if self._idle():
            # Closing immediately would reset a request that is on the wire.
            self.loop.call_later(GOODBYE_SECONDS, self._close_idle)
        else:
            self.cycle.keep_alive = False

    def _close_idle(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def sweep(self, now: float) -> None:
        """Close the connection if its request is overdue, or if it was idle for too long.

        A connection that closes waits until its client has taken the rest of the response, which
        may be never.
        """
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > self.slow_seconds:
                self.transport.abort()
        elif self._began is not None:
            if now - self._began > self.slow_seconds:
                self.transport.abort()
        elif self._idle() and now - self._last > IDLE_SECONDS:
            self.transport.close()
