"""The description of a server that is needed to measure it."""

import http.client
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slipway import home


class NotRun(Exception):
    """A server that cannot be measured; the message says why."""


@dataclass(frozen=True)
class RequestBody:
    """A request's body and the headers that belong to it."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Response:
    body: bytes
    headers: Mapping[str, str]
    """Header names in lower case."""


@dataclass(frozen=True)
class Call:
    """The way to send rows (n, 30) to a server, and to read probabilities from its response."""

    path: str
    write: Callable[[np.ndarray], RequestBody]
    read: Callable[[Response], np.ndarray]
    key: str
    """A key that every successful response contains."""

    def request(self, rows: np.ndarray, port: int) -> bytes:
        """Return the complete request."""
        sent = self.write(rows)
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {home.LOOPBACK}:{port}",
            *(f"{name}: {value}" for name, value in sent.headers.items()),
            f"Content-Length: {len(sent.body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + sent.body

    def predict(self, rows: np.ndarray, port: int, timeout: float = 30) -> np.ndarray:
        """Send the rows and return the probabilities (n,) in the response.

        Raises:
            NotRun: the response has another status than 200.
            OSError: there is no response.
        """
        connection = http.client.HTTPConnection(home.LOOPBACK, port, timeout=timeout)
        try:
            sent = self.write(rows)
            connection.request("POST", self.path, sent.body, dict(sent.headers))
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                message = body[:200].decode(errors="replace")
                raise NotRun(f"{self.path} returns {response.status}: {message}")
            headers = {name.lower(): value for name, value in response.getheaders()}
            return self.read(Response(body, headers))
        finally:
            connection.close()


Start = Callable[[Path], AbstractContextManager[int]]
"""Starts a server that logs into the file, and yields its process id when it is ready."""


@dataclass(frozen=True)
class Rival:
    """A server to measure: how to start it, and how to send it requests."""

    name: str
    python: Path
    command: Sequence[str | Path] | Start
    port: int
    ready: str
    """The path that returns 200 once it serves."""
    single: Call
    """The call with one record a request."""
    many: Mapping[str, Call] = field(default_factory=dict)
    """Calls with 1,000 rows, by a description of their format."""
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: Sequence[str] = ()
    """Packages whose versions are reported."""
    runs_model: bool = True
    """True if it runs the model."""
