"""Uvicorn's HTTP/1.1 protocol with limits that hold before any key, route or decoder.

Every service speaks HTTP through this class, so each limit is stated and checked in one place:

| what | limit | response |
| --- | --- | --- |
| request line, headers, trailers and chunk framing | 64 KiB, and as many bytes as the body | 431 |
| time to send a request | 30 s, and a second for each 16 KiB of body | 408 |
| a pause while a request is sent | 30 s | 408 |
| a response that the client does not read | 30 s without progress | connection closed |
| connections of all clients, and of one | settings | 503 |
| Host | one; an IP address, localhost or a name of the settings | 400, 421 |
| a page of another site that changes something | origins of the settings | 403 |

The limits of bodies depend on the route: `services.web.bounds` has them.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.web.problem import Problem

OVERHEAD_BYTES = 2**16
# The slowest sender that is served, after the first `slow_seconds`.
BYTES_PER_SECOND = 2**14
# What a client may still send of a body after its response, which is dropped; closing immediately
# would reset the connection before a client that sends has read why it was refused.
LEFT_BYTES = 2**24
IDLE_SECONDS = 75.0
# They change nothing, so a page of any site may send them.
SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})


@dataclass(frozen=True)
class Limits:
    """The limits of what a service accepts; it sets them once, when its process starts."""

    connections: int = 1000
    client_connections: int = 1000
    """Connections from one address."""
    slow_seconds: float = 30.0
    any_host: bool = False
    """True if every caller needs a key: a page that was led here by DNS rebinding has none."""
    hosts: frozenset[str] = frozenset()
    """Names besides localhost and IP addresses, in lower case."""
    origins: frozenset[bytes] = frozenset()
    """Pages of these may send requests that change something; `*` stands for all."""


@lru_cache(maxsize=1024)
def host_name(host: bytes) -> str:
    """Return the name in a `Host` header, in lower case and without its port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


@lru_cache(maxsize=1024)
def is_local(name: str) -> bool:
    """Return whether no name server decides where `name` leads."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class BoundedProtocol(HttpToolsProtocol):
    """One connection within the limits of the service."""

    limits: ClassVar[Limits] = Limits()
    clients: ClassVar["Counter[str]"] = Counter()
    """Open connections by the client's address."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._overhead = 0
        self._body_bytes = 0
        self._left = 0
        self._refused = False
        self._began: float | None = None
        self._closing_since: float | None = None
        self._unread_since: float | None = None
        self._unread_bytes = 0
        self._arrived_at = 0.0
        self._arrived_bytes = 0
        self._last = self.loop.time()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self.clients[host] += 1
        limits = self.limits
        if len(self.connections) > limits.connections:
            self._refuse(Problem(503, "Too many connections", "the server is full; try again"))
        elif self.clients[host] > limits.client_connections:
            detail = f"at most {limits.client_connections} connections from one address"
            self._refuse(Problem(503, "Too many connections", detail))

    def connection_lost(self, exc: Exception | None) -> None:
        host = self.client[0] if self.client else ""
        self.clients[host] -= 1
        if not self.clients[host]:
            del self.clients[host]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        # Everything counts as overhead until the parser hands it over as a part of a body.
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > OVERHEAD_BYTES + self._body_bytes and not self._refused:
            detail = (
                f"request line, headers, trailers and chunk framing may hold {OVERHEAD_BYTES} "
                "bytes, and as many as the body"
            )
            self._refuse(Problem(431, "Request header fields too large", detail))

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, "Malformed request", msg))

    def on_message_begin(self) -> None:
        self._began = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        problem = self.check_headers()
        if problem is None:
            super().on_headers_complete()
        else:
            self._refuse(problem)

    def on_body(self, body: bytes) -> None:
        self.count_body(body)
        if self._refused:
            return
        if self.cycle.response_complete:
            self._left += len(body)
            if self._left > LEFT_BYTES:
                self._refused = True
                self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.count_message()
        if not self._refused:
            super().on_message_complete()

    def count_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        self._body_bytes += len(body)

    def count_message(self) -> None:
        """Start to count anew. What already arrived of a next request counts for neither."""
        self._overhead = self._body_bytes = self._left = 0
        self._began, self._last = None, self.loop.time()

    def check_headers(self) -> Problem | None:
        """Return why a request may not come in by its Host and Origin; None if it may."""
        hosts: list[bytes] = []
        origin: bytes | None = None
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origin = value
        if len(hosts) != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            return Problem(400, "Malformed request", f"send one Host header, got {len(hosts)}")
        host = hosts[0] if hosts else b""
        if hosts and not self._knows(host_name(host)):
            detail = f"this server is not {host_name(host)[:100]!r}; its settings name its hosts"
            return Problem(421, "Misdirected request", detail)
        if origin is None or self.parser.get_method() in SAFE_METHODS:
            return None
        origins = self.limits.origins
        if origin.partition(b"://")[2].lower() == host.lower() or origin in origins:
            return None
        if b"*" in origins:
            return None
        shown = origin.decode("latin-1")[:100]
        return Problem(403, "Origin not permitted", f"{shown!r} may not call this server")

    def _knows(self, name: str) -> bool:
        limits = self.limits
        return is_local(name) or name in limits.hosts or (limits.any_host and not limits.hosts)

    def _refuse(self, problem: Problem) -> None:
        """Answer and close; whatever else the client sends is dropped unread."""
        self._refused = True
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(problem.whole_response(close=True))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Return whether no response is due."""
        return self.cycle is None or self.cycle.response_complete

    def sweep(self, now: float) -> None:
        """Close the connection if its client is too slow, or if it was idle for too long."""
        slow = self.limits.slow_seconds
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > slow:
                self.transport.abort()
        elif self._began is not None:
            late = now - self._began > slow + self._body_bytes / BYTES_PER_SECOND
            if late or self._is_paused_for(now, self._began) > slow:
                self._cut_slow_sender()
        elif self._is_unread_for(now) > slow:
            self.transport.abort()
        elif self.is_idle and now - self._last > IDLE_SECONDS:
            self.transport.close()

    def _is_paused_for(self, now: float, began: float) -> float:
        """Return the seconds for which the client has sent nothing of its request."""
        arrived = self._overhead + self._body_bytes
        # Not a pause of the client's: the application takes nothing more at the moment.
        if arrived != self._arrived_bytes or self.flow.read_paused:
            self._arrived_at, self._arrived_bytes = now, arrived
        return now - max(self._arrived_at, began)

    def _cut_slow_sender(self) -> None:
        cycle = self.cycle
        if cycle is not None and cycle.more_body == cycle.response_complete:
            # What the client would read is not the response to this request: an earlier one is in
            # progress, or this one has its response already.
            self.transport.abort()
            return
        detail = (
            f"send at least {BYTES_PER_SECOND} bytes a second, and pause for at most "
            f"{self.limits.slow_seconds:g} s"
        )
        self._refuse(Problem(408, "Request too slow", detail))

    def _is_unread_for(self, now: float) -> float:
        """Return the seconds for which the client has read nothing of what waits for it."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting or waiting < self._unread_bytes or self._unread_since is None:
            self._unread_since = now if waiting else None
        self._unread_bytes = waiting
        return now - self._unread_since if self._unread_since is not None else 0.0
