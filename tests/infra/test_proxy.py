"""The proxy: HAProxy with the repository's file, before real model servers."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx
import pytest

from slipway import home
from slipway.home import free_port
from slipway.programs.debian import binary
from tests.infra import proxy_fixture
from tests.infra.names import Names
from tests.infra.proxy_fixture import Proxy
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.services.streaming_models import EXAMPLE, slow, streaming
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("infra/proxy/*", "services/predict/protocol.py", "services/predict/readiness.py")

SECOND = "127.0.0.2"


@dataclass(frozen=True)
class Place:
    """A proxy with one server behind it, and the settings of a second server."""

    fake_models: ModelRegistryFixture
    first: Server
    names: Names
    proxy: Proxy
    port: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, port = tmp_path_factory.mktemp("place"), free_port()
    fake_models = ModelRegistryFixture(folder / "fake_models")
    fake_models.add("healthy", echo("healthy"))
    names = Names(proxy_fixture.SERVICE, home.LOOPBACK)
    with (
        fake_models.serving(port=port) as first,
        proxy_fixture.run_proxy(folder / "proxy", names, servers=port) as standing,
    ):
        until(lambda: standing.servers() == 1)
        yield Place(fake_models, first, names, standing, port)


def kill(server: Server) -> None:
    """All of it at once, as a container that is killed."""
    for each in (server.process, *server.process.children(recursive=True)):
        each.kill()


def test_haproxy_accepts_the_file_without_a_warning(tmp_path: Path) -> None:
    """The supervisor ends with the status of a HAProxy that ends by itself."""
    checked = subprocess.run(
        [
            *(sys.executable, proxy_fixture.SUPERVISOR),
            *("--door", f"{home.LOOPBACK}:0", "--metrics", f"{home.LOOPBACK}:0", "--"),
            *(binary("haproxy"), "-c", "-dW", "-f", proxy_fixture.FILE),
        ],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_servers_figures_are_not_published(place: Place) -> None:
    """A scrape through the proxy would get the metrics of one server, by chance."""
    answer = httpx.get(f"{place.proxy.address}/metrics")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "/metrics is not published here"
    assert "slipway_requests_total" in place.first.client.get("/metrics").text
    assert httpx.get(f"{place.proxy.metrics_address}/v1/models").status_code == 403


def test_a_server_that_comes_is_found_and_one_that_is_killed_is_not_missed(place: Place) -> None:
    stopped = Event()
    broken_off = []

    def asking() -> list[int]:
        statuses = []
        with httpx.Client(base_url=place.proxy.address, timeout=30) as client:
            while not stopped.is_set():
                try:
                    answer = client.post("/v1/models/healthy/predict", json={"number": 1})
                except httpx.RemoteProtocolError as error:
                    # Its head was already sent, so the proxy cannot try the other server.
                    broken_off.append(error)
                else:
                    statuses.append(answer.status_code)
        return statuses

    with place.fake_models.serving(host=SECOND, port=place.port) as second:
        place.names.addresses.append(SECOND)
        until(lambda: place.proxy.servers() == 2)
        with ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(asking) for _ in range(4)]
            try:
                for server in (place.first, second):
                    answered = server.metric("slipway_requests_total")
                    until(lambda s=server, n=answered: s.metric("slipway_requests_total") > n)
                kill(second)
                until(lambda: place.proxy.servers() == 1)
            finally:
                stopped.set()
            statuses = [status for each in callers for status in each.result(60)]
    place.names.addresses.remove(SECOND)
    assert len(statuses) >= 20
    assert set(statuses) == {200}
    # At most what each caller waited for when the server was killed.
    assert len(broken_off) <= 4, broken_off
    # Some requests went to the stopped server first and were retried on the other.
    assert place.proxy.metric("haproxy_backend_retry_warnings_total", proxy="predictions") > 0
    assert place.proxy.metric("haproxy_backend_redispatch_warnings_total", proxy="predictions") > 0


def test_a_slow_call_is_neither_cut_nor_repeated(tmp_path: Path) -> None:
    """Calls of a quick model are repeated after 1 s here, those of a slow model take 3 s."""
    fake_models, port = ModelRegistryFixture(tmp_path / "fake_models"), free_port()
    fake_models.add("slow", slow("slow"), example=EXAMPLE, serving='{"latency_seconds": 20.0}')
    fake_models.add("words", streaming("words"), example=EXAMPLE)
    fake_models.add("quick", slow("quick"), example=EXAMPLE)
    names = Names(proxy_fixture.SERVICE, home.LOOPBACK)
    with (
        fake_models.serving(port=port) as server,
        proxy_fixture.run_proxy(
            tmp_path / "proxy", names, servers=port, quick_seconds=1
        ) as standing,
        httpx.Client(base_url=standing.address, timeout=60) as client,
    ):
        until(lambda: standing.servers() == 1)
        until(lambda: len(client.get("/v1/models").json()["models"]) == 3)

        def ask(name: str, **record: float) -> httpx.Response:
            body = {"number": 1, **record}
            return client.post(f"/v1/models/{name}/predict", json=body)

        def requests(name: str) -> float:
            return server.metric(f'slipway_requests_total project="{name}"')

        # The second call comes when the proxy knows the model's pace.
        for _ in range(2):
            assert ask("slow", seconds=3).status_code == 200
        assert requests("slow") == 2
        # A model that is not known yet may be slow; from then on this one is quick.
        assert ask("quick", seconds=3).status_code == 200
        assert requests("quick") == 1
        assert ask("quick", seconds=3).status_code == 504
        until(lambda: requests("quick") == 4)
        streamed = client.post(
            "/v1/models/words/predict?stream=true", json={"number": 5, "seconds": 0.6}
        )
        assert streamed.text.count("event: chunk") == 5
        assert streamed.text.count("event: prediction") == 1
        # An asynchronous prediction comes back from the server that has it.
        later = client.post(
            "/v1/models/quick/predict",
            json={"number": 1, "seconds": 3},
            headers={"Prefer": "respond-async"},
        )
        until(lambda: client.get(later.headers["location"]).json()["state"] == "succeeded")


def test_without_one_network_servers_are_reached_on_the_other(tmp_path: Path) -> None:
    fake_models, port = ModelRegistryFixture(tmp_path / "fake_models"), free_port()
    fake_models.add("healthy", echo("healthy"))
    names = Names(proxy_fixture.SERVICE, home.LOOPBACK)
    names.known[proxy_fixture.ASIDE] = [SECOND]
    with (
        fake_models.serving(port=port) as first,
        fake_models.serving(host=SECOND, port=port) as second,
        proxy_fixture.run_proxy(tmp_path / "proxy", names, servers=port) as standing,
        httpx.Client(base_url=standing.address, timeout=30) as client,
    ):
        until(lambda: standing.servers() == 1)
        backups = "haproxy_backend_backup_servers"
        until(lambda: standing.metric(backups, proxy="predictions") == 1)

        def ask() -> int:
            return client.post("/v1/models/healthy/predict", json={"number": 1}).status_code

        assert {ask() for _ in range(20)} == {200}
        assert second.metric("slipway_requests_total") == 0
        kill(first)
        until(lambda: standing.servers() == 0)
        assert {ask() for _ in range(20)} == {200}
        assert second.metric("slipway_requests_total") == 20


def test_without_a_model_the_servers_themselves_say_so(tmp_path: Path) -> None:
    fake_models, port = ModelRegistryFixture(tmp_path / "fake_models"), free_port()
    names = Names(proxy_fixture.SERVICE, home.LOOPBACK)
    with (
        fake_models.serving(ready=False, port=port) as server,
        proxy_fixture.run_proxy(tmp_path / "proxy", names, servers=port) as standing,
    ):
        # A server that was just found counts as ready until its first health check.
        until(lambda: (standing.servers(), standing.servers("starting")) == (0, 1))
        until(lambda: "no champion" in httpx.get(f"{server.address}/v1/ready").text)
        own, through = (
            httpx.get(f"{address}/v1/ready") for address in (server.address, standing.address)
        )
        assert own.status_code == through.status_code == 503
        assert through.json() == own.json()
        assert through.headers["content-type"] == own.headers["content-type"]


def test_without_a_server_the_proxy_reports_it(tmp_path: Path) -> None:
    names = Names(proxy_fixture.SERVICE)
    with proxy_fixture.run_proxy(tmp_path, names, servers=free_port()) as standing:
        assert httpx.get(f"{standing.address}/v1/ready").status_code == 503
        assert standing.servers() == 0


def test_a_missing_address_in_the_file_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a test would speak with whoever listens on the port of the container."""
    other = tmp_path / "haproxy.cfg"
    other.write_text(proxy_fixture.FILE.read_text().replace("predict:8000", "predict:8001"))
    monkeypatch.setattr(proxy_fixture, "FILE", other)
    with pytest.raises(AssertionError, match="predict:8000"):
        proxy_fixture.configuration(names="127.0.0.1:3", servers=4)
