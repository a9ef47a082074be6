"""Hostile callers: each makes one kind of request that a careless server would pay for.

    python -m benchmarks.hostile.callers PORT MODEL SECONDS

makes all of them again and again, each from a loopback address of its own, since the server limits
the connections of one client. It prints how often each was made, and how that ended.
"""

import gzip
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from slipway import home

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 2.0
HELD = 20
MIB = 2**20
JSON = "Content-Type: application/json\r\n"


class Wire:
    """One connection from a loopback address other than the usual one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, content: bytes) -> None:
        self._connection.sendall(content)

    def outcome(self) -> str:
        """Return the status of the response, or `closed`."""
        head = self._connection.recv(4096)
        return head[9:12].decode() if head.startswith(b"HTTP/1.1 ") else "closed"


Attack = Callable[[Wire, str], str]
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    """Add a function of a connection and a model's name, which returns how the attack ended."""

    def add(made: Attack) -> Attack:
        ATTACKS[name] = made
        return made

    return add


def head(path: str, more: str = "", method: str = "POST") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {home.LOOPBACK}\r\n{more}\r\n".encode()


def predict(model: str) -> str:
    return f"/v1/models/{model}/predict"


def whole(path: str, body: bytes, more: str = JSON) -> bytes:
    return head(path, f"{more}Content-Length: {len(body)}\r\n") + body


@cache
def zipped(size: int) -> bytes:
    """Return a list of empty records, compressed to a thousandth of its size."""
    return gzip.compress(b"[" + b"{}," * (size // 3) + b"{}]")


@attack("one-byte chunks")
def _chunks(wire: Wire, model: str) -> str:
    wire.send(head(predict(model), f"{JSON}Transfer-Encoding: chunked\r\n"))
    for _ in range(40):
        wire.send(b"1\r\n \r\n" * 1000)
    wire.send(b"0\r\n\r\n")
    return wire.outcome()


@attack("150,000 invalid records, compressed")
def _invalid(wire: Wire, model: str) -> str:
    wire.send(whole(predict(model), zipped(450_000), f"{JSON}Content-Encoding: gzip\r\n"))
    return wire.outcome()


@attack("compressed bomb of 64 MiB")
def _bomb(wire: Wire, model: str) -> str:
    wire.send(whole(predict(model), zipped(64 * MIB), f"{JSON}Content-Encoding: gzip\r\n"))
    return wire.outcome()


@attack("100,000 brackets")
def _nested(wire: Wire, model: str) -> str:
    wire.send(whole(predict(model), b"[" * 100_000))
    return wire.outcome()


@attack("64 MiB of label")
def _feedback(wire: Wire, _model: str) -> str:
    wire.send(head("/v1/feedback", f"{JSON}Content-Length: {64 * MIB}\r\n"))
    for _ in range(64):
        wire.send(b" " * MIB)
    return wire.outcome()


@attack("4 MiB of headers")
def _headers(wire: Wire, model: str) -> str:
    wire.send(head(predict(model), "", "GET")[:-2])
    for number in range(64):
        wire.send(f"X-{number}: {'x' * 65_536}\r\n".encode())
    wire.send(b"\r\n")
    return wire.outcome()


@attack("a header that comes byte by byte")
def _slow(wire: Wire, model: str) -> str:
    start = head(predict(model))[:HELD]
    for place in range(HELD):
        wire.send(start[place : place + 1])
        time.sleep(0.05)
    return "left"


@attack("responses that are never read")
def _deaf(wire: Wire, _: str) -> str:
    wire.send(head("/openapi.json", method="GET") * HELD)
    time.sleep(1)
    return "left"


@attack("unknown models")
def _unknown(wire: Wire, _: str) -> str:
    wire.send(whole(predict("x" * 200), b"{}"))
    return wire.outcome()


@attack("no HTTP")
def _garbage(wire: Wire, _: str) -> str:
    wire.send(bytes(range(256)) * 64)
    return wire.outcome()


@contextmanager
def connected(port: int, source: int) -> Iterator[Wire]:
    """Connect to the server from 127.0.1.`source`."""
    with socket.create_connection(
        (home.LOOPBACK, port), PATIENCE_SECONDS, source_address=(f"127.0.1.{source}", 0)
    ) as connection:
        yield Wire(connection)


def make(name: str, port: int, model: str) -> str:
    """Make one attack; return the status of the response, or how else it ended."""
    source = 1 + list(ATTACKS).index(name)
    try:
        with connected(port, source) as wire:
            return ATTACKS[name](wire, model)
    except TimeoutError:
        return "no response"
    except OSError:
        return "closed"


def repeat(name: str, port: int, model: str, until: float, outcomes: Counter[str]) -> None:
    while time.monotonic() < until:
        outcomes[make(name, port, model)] += 1
        time.sleep(PAUSE_SECONDS)


def main(port: int, model: str, seconds: float) -> dict[str, dict[str, int]]:
    """Make all attacks at once for some seconds; return the outcomes of each."""
    zipped(64 * MIB)
    until = time.monotonic() + seconds
    found: dict[str, Counter[str]] = {name: Counter() for name in ATTACKS}
    threads = [
        threading.Thread(target=repeat, args=(name, port, model, until, outcomes))
        for name, outcomes in found.items()
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return {name: dict(outcomes) for name, outcomes in found.items()}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))))
