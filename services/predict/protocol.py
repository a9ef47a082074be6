"""HTTP/1.1 on a connection: uvicorn's, with a short way for predictions and a gentle end.

A prediction whose model is cheap is answered as soon as its body is here, without the scope, task
and messages of ASGI: of 140 microseconds that such a request took, they were 35. Whatever this
way does not fit goes through ASGI as usual.
"""

import logging
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.predict.endpoint import FAILED, problem_bytes

log = logging.getLogger("slipway.predict")

# A caller on a kept connection may be sending just when we stop: it is waited for.
GOODBYE_SECONDS = 1.0
IDLE_SECONDS = 75.0


class Short(NamedTuple):
    """The short way."""

    paths: Callable[[], dict[bytes, str]]
    """Prediction paths, to the names of their projects."""
    answer: Callable[[str, dict[bytes, bytes], bytes], bytes | None]
    """Project, headers and body to the whole HTTP answer; None for what needs waiting."""


class Protocol(HttpToolsProtocol):
    leaving: ClassVar[bool] = False
    """The process stops: answers say `Connection: close` from now on."""
    short: ClassVar["Short | None"] = None
    slow_seconds: ClassVar[float] = 30.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held: list[bytes] | None = None
        self._project = ""
        self._began: float | None = None
        self._last = self.loop.time()

    def on_message_begin(self) -> None:
        # The scope is made when it turns out that it is needed.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._began = self.loop.time()

    def on_headers_complete(self) -> None:
        project = self.short.paths().get(self.url) if self.short else None
        if project is not None and self._plain():
            self._project, self._held = project, []
        else:
            self._through_asgi()

    def _plain(self) -> bool:
        """Whether nothing of this request or its connection wants more than an answer."""
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
                assert self.short is not None
                answer = self.short.answer(self._project, dict(self.headers), body)
            except Exception:
                log.exception("a request failed")
                answer = problem_bytes(FAILED)
            if answer is not None:
                self._held = None
                self.server_state.total_requests += 1
                self.transport.write(answer)
                return
            self._release()
        super().on_message_complete()

    def _release(self) -> None:
        """It is not for the short way after all."""
        held, self._held = self._held or [], None
        self._through_asgi()
        for part in held:
            super().on_body(part)

    def _through_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        super().on_headers_complete()
        if Protocol.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        if self._idle():
            # Closing at once would reset a request that is on the wire.
            self.loop.call_later(GOODBYE_SECONDS, self._shut)
        else:
            self.cycle.keep_alive = False

    def _shut(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def sweep(self, now: float) -> None:
        """Cut a connection whose request does not come to its end, or that has long been idle."""
        if self._began is not None:
            if now - self._began > self.slow_seconds:
                self.transport.abort()
        elif self._idle() and now - self._last > IDLE_SECONDS:
            self.transport.close()
