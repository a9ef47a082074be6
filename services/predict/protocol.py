"""Uvicorn's HTTP/1.1 protocol, with a fast path for predictions and a graceful shutdown.

A prediction whose model is cheap gets its response as soon as the body is here, without the scope,
task and messages of ASGI, which took 35 of the 140 microseconds of such a request. Every other
request goes through ASGI as usual.
"""

import logging
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.predict.endpoint import FAILED
from services.web.bounded_protocol import BoundedProtocol

log = logging.getLogger("slipway.predict")

# At shutdown an idle connection stays open this long: its client may be sending a request.
GOODBYE_SECONDS = 1.0
# A longer body goes through ASGI, which reads it at the model's pace.
HELD_BYTES = 2**16


class FastPath(NamedTuple):
    """The way around ASGI."""

    paths: Callable[[], dict[bytes, str]]
    """Returns project names by the path of their prediction endpoint."""
    respond: Callable[[str, dict[bytes, bytes], bytes], bytes | None]
    """Returns the whole HTTP response to a project, headers and body; None if it has to wait."""


class Protocol(BoundedProtocol):
    """One connection."""

    leaving: ClassVar[bool] = False
    """True if the process stops: responses then say `Connection: close`."""
    fast_path: ClassVar["FastPath | None"] = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held: list[bytes] | None = None
        self._held_bytes = 0
        self._project = ""

    def on_message_begin(self) -> None:
        # The ASGI scope is created only when it is needed.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._began = self.loop.time()

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        problem = self.check_headers()
        if problem is not None:
            self._refuse(problem)
            return
        project = self.fast_path.paths().get(self.url) if self.fast_path else None
        if project is not None and self._is_plain():
            self._project, self._held, self._held_bytes = project, [], 0
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
        )

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
            return
        self.count_body(body)
        self._held.append(body)
        self._held_bytes += len(body)
        if len(self._held) > 1 and self._held_bytes > HELD_BYTES:
            self._release()

    def on_message_complete(self) -> None:
        if self._held is not None:
            held = self._held
            body = held[0] if len(held) == 1 else b"".join(held)
            try:
                assert self.fast_path is not None
                response = self.fast_path.respond(self._project, dict(self.headers), body)
            except Exception:
                log.exception("a request failed")
                response = FAILED.whole_response()
            if response is not None:
                self._held = None
                self.count_message()
                self.server_state.total_requests += 1
                self.transport.write(response)
                return
            self._release()
        super().on_message_complete()

    def _release(self) -> None:
        """Hand the request over to ASGI after all."""
        held, self._held = self._held or [], None
        self._use_asgi()
        HttpToolsProtocol.on_body(self, b"".join(held))

    def _use_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        HttpToolsProtocol.on_headers_complete(self)
        if Protocol.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        if self.is_idle:
            # Closing immediately would reset a request that is on the wire.
            self.loop.call_later(GOODBYE_SECONDS, self._close_idle)
        else:
            self.cycle.keep_alive = False

    def _close_idle(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()
