"""What a server must say of itself to be measured."""

import http.client
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slipway import home


class NotRun(Exception):
    """A server that cannot take part; the message says why."""


@dataclass(frozen=True)
class Sent:
    """A request's body and the headers that belong to it."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    body: bytes
    headers: Mapping[str, str]
    """Names in small letters."""


@dataclass(frozen=True)
class Call:
    """How rows (n, 30) are asked of a server, and where its answer has the probabilities."""

    path: str
    write: Callable[[np.ndarray], Sent]
    read: Callable[[Answer], np.ndarray]
    key: str
    """Stands in every good answer."""

    def request(self, rows: np.ndarray, port: int) -> bytes:
        """The whole request as it travels."""
        sent = self.write(rows)
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {home.LOOPBACK}:{port}",
            *(f"{name}: {value}" for name, value in sent.headers.items()),
            f"Content-Length: {len(sent.body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + sent.body

    def ask(self, rows: np.ndarray, port: int, timeout: float = 30) -> np.ndarray:
        """The probabilities (n,) that the server answers.

        Raises:
            NotRun: it answers another status than 200.
            OSError: it does not answer.
        """
        connection = http.client.HTTPConnection(home.LOOPBACK, port, timeout=timeout)
        try:
            sent = self.write(rows)
            connection.request("POST", self.path, sent.body, dict(sent.headers))
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                told = body[:200].decode(errors="replace")
                raise NotRun(f"{self.path} answers {answer.status}: {told}")
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return self.read(Answer(body, headers))
        finally:
            connection.close()


Start = Callable[[Path], AbstractContextManager[int]]
"""Starts a server that logs into the file; its process, from when it is ready."""


@dataclass(frozen=True)
class Rival:
    """A server: how it is started, and how it is asked."""

    name: str
    python: Path
    command: Sequence[str | Path] | Start
    port: int
    ready: str
    """The path that answers 200 once it serves."""
    single: Call
    """One record a request."""
    many: Mapping[str, Call] = field(default_factory=dict)
    """Ways to send 1,000 rows in one call, by their description."""
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: Sequence[str] = ()
    """Whose versions are told."""
    answers: bool = True
    """Whether it runs the model."""
