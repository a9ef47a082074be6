"""Long uploads, to a model server itself and through the proxy: only a stall ends them.

The limits are seconds here, and an upload takes longer than each of them.
"""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from slipway import home
from slipway.home import free_port
from tests.infra import proxy_fixture
from tests.infra.names import Names
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.waiting import until

CONCERNS = (
    "infra/proxy/*",
    "services/predict/protocol.py",
    "services/predict/scoring.py",
    "services/web/bounded_protocol.py",
)

SLOW_SECONDS = 2
# Of the proxy: for the head, without a byte from the caller, and without a response to a job. As
# in operation, the last two are longer than a model server's own limit, which knows the reason.
PROXY_SECONDS = {
    "timeout http-request 30s": "timeout http-request 2s",
    "timeout client 60s": "timeout client 8s",
    "timeout server 600s": "timeout server 10s",
}
ROWS = 20_000
PARTS = 15
PAUSE_SECONDS = 1
JOBS = "/v1/models/model/jobs"
PREDICT = "/v1/models/model/predict"


@dataclass(frozen=True)
class Entrances:
    """The ways in: the server's own address, and the proxy's."""

    server: Server
    addresses: dict[str, str]

    def connect(self, entrance: str) -> socket.socket:
        host, port = self.addresses[entrance].removeprefix("http://").split(":")
        wire = socket.create_connection((host, int(port)))
        wire.settimeout(120)
        return wire


@pytest.fixture(scope="module")
def entrances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrances]:
    folder, port = tmp_path_factory.mktemp("uploads"), free_port()
    fake_models = ModelRegistryFixture(folder / "fake_models")
    fake_models.add("model", echo("model"))
    names = Names(proxy_fixture.SERVICE, home.LOOPBACK)
    with (
        fake_models.serving(port=port, slow_seconds=SLOW_SECONDS) as server,
        proxy_fixture.run_proxy(
            folder / "proxy", names, servers=port, replaced=PROXY_SECONDS
        ) as proxy,
    ):
        until(lambda: proxy.servers() == 1 and proxy.servers("jobs") == 1)
        yield Entrances(server, {"server": server.address, "proxy": proxy.address})


both = pytest.mark.parametrize("entrance", ["server", "proxy"])


def head(path: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def response(wire: socket.socket) -> tuple[int, dict]:
    """Return the status and the body of a JSON response."""
    with wire.makefile("rb") as file:
        status = int(file.readline().split()[1])
        length = 0
        while line := file.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, json.loads(file.read(length))


@both
def test_an_upload_takes_longer_than_every_limit(entrances: Entrances, entrance: str) -> None:
    table = b"number\n" + b"".join(b"%d.0000000\n" % (row % 1000) for row in range(ROWS))
    size = -(-len(table) // PARTS)
    with entrances.connect(entrance) as wire:
        wire.sendall(head(JOBS, len(table)))
        for at in range(0, len(table), size):
            time.sleep(PAUSE_SECONDS)
            wire.sendall(table[at : at + size])
        status, job = response(wire)
    assert status == 202, job
    client = entrances.server.client
    until(lambda: client.get(job["self"]).json()["state"] == "done")
    assert len(client.get(f"{job['self']}/result").text.splitlines()) == ROWS + 1


@both
def test_an_upload_that_stalls_is_cut_with_the_reason(entrances: Entrances, entrance: str) -> None:
    """Its first megabyte would pay for a minute at the slowest rate."""
    with entrances.connect(entrance) as wire:
        wire.sendall(head(JOBS, 2**30) + b"1\n" * 2**19)
        status, problem = response(wire)
        assert wire.recv(100) == b""
    assert status == 408
    assert problem["title"] == "Request too slow"
    assert f"pause for at most {SLOW_SECONDS} s" in problem["detail"]
    uploads = entrances.server.log.parent / "home" / "predict" / "uploads"
    until(lambda: not list(uploads.iterdir()))
    assert "Traceback" not in entrances.server.log.read_text()


@both
def test_a_body_that_trickles_is_cut(entrances: Entrances, entrance: str) -> None:
    """It never pauses for long, but sends fewer bytes than the slowest rate."""
    with entrances.connect(entrance) as wire:
        wire.sendall(head(JOBS, 2**30))
        wire.setblocking(False)
        while not _readable(wire):
            wire.send(b"1\n")
            time.sleep(SLOW_SECONDS / 4)
        wire.setblocking(True)
        status, problem = response(wire)
    assert status == 408
    assert "16384 bytes a second" in problem["detail"]


def _readable(wire: socket.socket) -> bool:
    try:
        return bool(wire.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


@both
def test_a_prediction_whose_body_stalls_is_cut_with_a_reason(
    entrances: Entrances, entrance: str
) -> None:
    with entrances.connect(entrance) as wire:
        wire.sendall(head(PREDICT, 100) + b'{"number":')
        status, problem = response(wire)
    assert (status, problem["status"]) == (408, 408)
    assert problem["title"] == "Request too slow"


@both
def test_a_head_that_stalls_is_cut(entrances: Entrances, entrance: str) -> None:
    with entrances.connect(entrance) as wire:
        wire.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: ".encode())
        # HAProxy has a page of its own for an incomplete head, which no setting replaces.
        assert wire.recv(100).split()[1] == b"408"


def test_an_earlier_response_is_not_mistaken_for_that_of_a_slow_request(
    entrances: Entrances,
) -> None:
    whole = head(PREDICT, 13) + b'{"number": 1}'
    with entrances.connect("server") as wire:
        wire.sendall(whole + head(PREDICT, 100))
        assert response(wire)[0] == 200
        wire.sendall(b"{")
        assert response(wire)[0] == 408


def test_the_rest_of_a_refused_upload_gets_no_second_response(entrances: Entrances) -> None:
    with entrances.connect("server") as wire:
        wire.sendall(head("/v1/models/none/jobs", 2**20) + b"1\n")
        assert response(wire)[0] == 404
        assert not wire.recv(100).startswith(b"HTTP/1.1 408")
