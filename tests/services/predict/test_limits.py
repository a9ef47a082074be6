"""Incoming bytes are counted and refused before a key, a route or a decoder sees it."""

import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest

from services.web.bounded_protocol import OVERHEAD_BYTES
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.waiting import until

POST = b"POST /v1/models/model/predict HTTP/1.1\r\nHost: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("limits"))
    registry.add("model", echo("model"))
    return registry


@pytest.fixture(scope="module")
def server(registry: ModelRegistryFixture) -> Iterator[Server]:
    with registry.serving(connections=60, client_connections=40, slow_seconds=3) as running:
        yield running


@pytest.fixture(autouse=True)
def _check_that_no_worker_ended(server: Server) -> Iterator[None]:
    before = {worker.pid for worker in server.workers()}
    yield
    assert server.request("model").status_code == 200
    assert {worker.pid for worker in server.workers()} == before


def connect(server: Server) -> socket.socket:
    host, port = server.address.removeprefix("http://").split(":")
    wire = socket.create_connection((host, int(port)))
    wire.settimeout(60)
    return wire


def exchange(server: Server, *parts: bytes) -> tuple[int, int]:
    """Return the status of the response, 0 if the connection was reset, and the bytes sent."""
    sent = 0
    with connect(server) as wire:
        try:
            for part in parts:
                wire.sendall(part)
                sent += len(part)
        except OSError:  # refused while it was still sending
            pass
        with suppress(ConnectionResetError):
            return int(wire.recv(4096).split()[1]), sent
    return 0, sent


def used(server: Server) -> tuple[float, int]:
    """Return the CPU seconds and the resident bytes of the workers."""
    times = [worker.cpu_times() for worker in server.workers()]
    resident = sum(worker.memory_info().rss for worker in server.workers())
    return sum(each.user + each.system for each in times), resident


ENDLESS = {
    "a URL": (b"GET /" + b"a" * MEBIBYTE, *[b"a" * MEBIBYTE] * 20),
    "a header": (POST + b"X-Long: ", *[b"a" * MEBIBYTE] * 20),
    "headers": (POST, *[b"X-Name: value\r\n" * 70_000] * 20),
    "trailers": (CHUNKED + b"0\r\n", *[b"X-Name: value\r\n" * 70_000] * 20),
    "a chunk's extension": (CHUNKED + b"1;", *[b"a" * MEBIBYTE] * 20),
    "chunks of one byte": (CHUNKED, *[b"1\r\n \r\n" * 170_000] * 20),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_endless_framing_is_cut(server: Server, what: str) -> None:
    cpu, resident = used(server)
    status, sent = exchange(server, *ENDLESS[what])
    assert status in (0, 400, 431)
    assert sent < 8 * MEBIBYTE
    after_cpu, after = used(server)
    assert after - resident < 16 * MEBIBYTE
    assert after_cpu - cpu < 2


def test_a_header_within_the_limit_is_accepted(server: Server) -> None:
    body = b'{"number": 1}'
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    head = POST + JSON + b"X-Long: " + b"a" * (OVERHEAD_BYTES - 1000) + b"\r\n" + length
    assert exchange(server, head + body)[0] == 200
    # What arrives in one read of the socket is looked at together.
    longer = POST + JSON + b"X-Long: " + b"a" * 10 * OVERHEAD_BYTES + b"\r\n" + length
    assert exchange(server, longer + body)[0] == 431


def test_chunks_of_many_sizes_are_put_together(server: Server) -> None:
    body = b'{"number": 1%b}' % (b" " * 150_000)
    for size in (7, 100, 4096, 100_000):
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        assert exchange(server, CHUNKED + framed + b"0\r\n\r\n")[0] == 200


def test_many_invalid_records_cost_no_more_than_one(server: Server) -> None:
    _, resident = used(server)
    records = b"[" + b",".join([b"{}"] * 150_000) + b"]"
    place = "/v1/models/model/predict"
    head = {"Content-Type": "application/json"}
    refused = server.client.post(place, content=records, headers=head)
    assert refused.status_code == 422
    assert len(refused.json()["errors"]) <= 10
    packed = gzip.compress(records)
    head["Content-Encoding"] = "gzip"
    assert server.client.post(place, content=packed, headers=head).status_code == 422
    assert used(server)[1] - resident < 64 * MEBIBYTE


def test_refused_bodies_are_let_go(server: Server) -> None:
    head = {"Content-Type": "application/json"}
    body = b'{"number": "' + b"a" * (10 * MEBIBYTE) + b'"}'

    def refuse() -> None:
        response = server.client.post("/v1/models/model/predict", content=body, headers=head)
        assert response.status_code == 422

    for _ in range(3):
        refuse()
    _, resident = used(server)
    for _ in range(30):
        refuse()
    assert used(server)[1] - resident < 100 * MEBIBYTE


@pytest.mark.parametrize(
    "route", ["/v1/feedback", "/v1/admin/models/model/policy", "/v2/repository/index"]
)
def test_small_requests_have_small_bodies(server: Server, route: str) -> None:
    _, resident = used(server)
    method = b"PATCH" if "admin" in route else b"POST"
    head = b"%b %b HTTP/1.1\r\nHost: localhost\r\n" % (method, route.encode()) + JSON
    declared = head + b"Content-Length: 838860800\r\n\r\n"
    assert exchange(server, declared + b"{")[0] in (401, 413)
    chunk = b"100000\r\n" + b" " * MEBIBYTE + b"\r\n"
    status, sent = exchange(server, head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 200)
    assert status in (0, 200, 401, 413)
    assert sent < 48 * MEBIBYTE
    assert used(server)[1] - resident < 32 * MEBIBYTE


def test_no_body_is_read_before_the_key(registry: ModelRegistryFixture) -> None:
    with registry.serving(require_keys="true") as guarded:
        for route in (b"/v1/models/model/predict", b"/v2/models/model/infer"):
            head = b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % route
            with connect(guarded) as wire:
                wire.sendall(head + JSON + b"Content-Length: 15000000\r\n\r\n" + b" " * 1_000_000)
                assert wire.recv(100).split()[1] == b"401"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"Host: localhost:8000\r\n", 200),
        (b"Host: 127.0.0.1\r\n", 200),
        (b"Host: [::1]:80\r\n", 200),
        (b"Host: evil.example\r\n", 421),
        (b"Host: localhost.evil.example\r\n", 421),
        (b"Host: localhost\r\nHost: localhost\r\n", 400),
        (b"", 400),
    ],
)
def test_known_hosts_only(server: Server, host: bytes, status: int) -> None:
    assert exchange(server, b"GET /v1/models HTTP/1.1\r\n" + host + b"\r\n")[0] == status
    head = b"POST /v1/models/model/predict HTTP/1.1\r\nContent-Length: 13\r\n" + JSON + host
    assert exchange(server, head + b'\r\n{"number": 1}')[0] == status


def test_hosts_of_the_settings(registry: ModelRegistryFixture) -> None:
    with registry.serving(hosts="models.example.org, other") as named:
        for host, status in (("models.example.org:80", 200), ("OTHER", 200), ("third", 421)):
            response = named.client.get("/v1/models", headers={"Host": host})
            assert response.status_code == status, host
    with registry.serving(require_keys="true") as guarded:
        assert guarded.client.get("/v1/live", headers={"Host": "any.example"}).status_code == 200


def test_pages_of_other_sites_change_nothing(server: Server) -> None:
    evil = {"Origin": "http://evil.example"}
    for path, kind in (
        ("/v1/models/model/predict", "multipart/form-data; boundary=x"),
        ("/v1/models/model/explain", "text/plain"),
        ("/v1/models/model/jobs", "text/plain"),
        ("/v2/models/model/infer", "text/plain"),
        ("/v1/feedback", "text/plain"),
    ):
        response = server.client.post(path, content=b"{}", headers={**evil, "Content-Type": kind})
        assert response.status_code == 403, path
        assert "evil.example" in response.json()["detail"]
    own = {"Origin": server.address}
    answer = server.client.post("/v1/models/model/predict", json={"number": 1}, headers=own)
    assert answer.status_code == 200
    assert server.client.get("/v1/models", headers=evil).status_code == 200
    null = server.client.post(
        "/v1/models/model/predict", json={"number": 1}, headers={"Origin": "null"}
    )
    assert null.status_code == 403


def test_tensors_are_not_read_from_plain_text(server: Server) -> None:
    head = {"Content-Type": "text/plain"}
    refused = server.client.post("/v2/models/model/infer", content=b"{}", headers=head)
    assert refused.status_code == 415


def test_clients_that_never_read_are_closed(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            wire = stack.enter_context(connect(server))
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with suppress(OSError):
                wire.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        until(lambda: _established(server) >= 20)
        assert server.request("model").status_code == 200
        until(lambda: _established(server) < 10)


def _established(server: Server) -> int:
    connections = [
        each
        for worker in server.workers()
        for each in psutil.Process(worker.pid).net_connections("tcp")
    ]
    port = int(server.address.rpartition(":")[2])
    return sum(each.status == "ESTABLISHED" and each.laddr.port == port for each in connections)


def test_a_slow_upload_is_not_cut(server: Server) -> None:
    """It takes longer than `slow_seconds`, at a rate that is fast enough."""
    body = b'{"number": 1%b}' % (b" " * 300_000)
    with connect(server) as wire:
        wire.sendall(POST + JSON + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 50_000):
            wire.sendall(body[at : at + 50_000])
            time.sleep(1)
        assert wire.recv(100).split()[1] == b"200"


def test_a_client_cannot_take_all_connections(server: Server) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(closing(connect(server))) for _ in range(60)]
        heads = []
        for wire in wires:
            with suppress(OSError):
                wire.sendall(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with suppress(OSError):
                heads.append(wire.recv(4096))
        refused = [head for head in heads if head.startswith(b"HTTP/1.1 503")]
        assert b"from one address" in refused[0]
        assert sum(head.startswith(b"HTTP/1.1 200") for head in heads) >= 30


def test_connections_fit_into_the_open_files(registry: ModelRegistryFixture) -> None:
    """A soft limit is raised as far as the hard one permits; connections then stay below it."""
    with registry.serving(workers=1, connections=100_000) as running:
        limits = Path(f"/proc/{running.workers()[0].pid}/limits").read_text()
        line = next(each for each in limits.splitlines() if each.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        assert int(soft) == min(int(hard), 65_536)
