"""HAProxy is killed under load: only the requests that are in it at that moment are lost."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.chaos.load import CONNECTION, OK, Load, LoadCaller, Response
from slipway import home
from slipway.home import free_port
from slipway.programs.debian import binary
from tests.infra import proxy_fixture
from tests.infra.names import Names
from tests.infra.proxy_fixture import Proxy
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.waiting import PATIENCE, until

CONCERNS = ("infra/proxy/*",)

KILLS = 5
RATE = 80
# A process that lived for less than a second is replaced a second later.
LIFE_SECONDS = 2


@dataclass(frozen=True)
class Place:
    """A proxy with one server behind it."""

    server: Server
    names: Names
    proxy: Proxy

    @property
    def port(self) -> int:
        return int(self.proxy.address.rpartition(":")[2])


@dataclass(frozen=True)
class Death:
    """The time in which a HAProxy process was killed."""

    before: float
    after: float

    def hit(self, response: Response) -> bool:
        """Return whether the request was in progress when the process was killed."""
        return response.due <= self.after and response.due + response.seconds >= self.before


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    port = free_port()
    fake_models = ModelRegistryFixture(tmp_path / "fake_models")
    fake_models.add("healthy", echo("healthy"))
    names = Names(proxy_fixture.SERVICE, home.LOOPBACK)
    with (
        fake_models.serving(port=port) as server,
        proxy_fixture.run_proxy(tmp_path / "proxy", names, servers=port) as standing,
    ):
        until(lambda: standing.servers() == 1)
        yield Place(server, names, standing)


def kill(proxy: Proxy) -> Death:
    """Kill HAProxy, and return when it was killed."""
    process = proxy.haproxy()
    assert process is not None
    before = time.monotonic()
    process.kill()
    process.wait(PATIENCE)
    return Death(before, time.monotonic())


def test_only_what_is_in_haproxy_is_lost_when_it_is_killed(place: Place) -> None:
    caller = LoadCaller("plain", "healthy", [b'{"number": 1}'], rate=RATE)
    deaths: list[Death] = []
    processes = set()
    with Load([caller], port=place.port):
        for _ in range(KILLS):
            time.sleep(LIFE_SECONDS)
            found = place.proxy.haproxy()
            assert found is not None
            processes.add(found.pid)
            deaths.append(kill(place.proxy))
            # Callers are served again by the next process.
            since = time.monotonic()
            until(lambda since=since: any(one.good and one.due > since for one in caller.responses))
    assert len(processes) == KILLS
    assert len(caller.responses) > KILLS * RATE
    # No 503: the next process knows the servers before the name server or a health check responds.
    assert {each.status for each in caller.responses} <= {OK, CONNECTION}
    lost = [each for each in caller.responses if not each.good]
    assert all(any(death.hit(each) for death in deaths) for each in lost), (lost, deaths)


def test_connections_wait_while_there_is_no_haproxy(place: Place) -> None:
    """Two kills at once: the supervisor waits for a second, and nobody is refused."""
    kill(place.proxy)
    until(lambda: (process := place.proxy.haproxy()) is not None and process.is_running())
    kill(place.proxy)
    answer = httpx.post(
        f"{place.proxy.address}/v1/models/healthy/predict", json={"number": 1}, timeout=60
    )
    # The state is not used twice by processes that live so shortly, so there may be no server yet.
    assert answer.status_code in (200, 503)
    until(lambda: place.proxy.servers() == 1)


def test_a_haproxy_that_ends_by_itself_ends_the_supervisor(tmp_path: Path) -> None:
    """So Docker restarts the container, and slower each time, if the file is wrong."""
    wrong = tmp_path / "haproxy.cfg"
    wrong.write_text("no such section\n")
    ended = subprocess.run(
        [
            *(sys.executable, proxy_fixture.SUPERVISOR),
            *("--door", f"{home.LOOPBACK}:0", "--metrics", f"{home.LOOPBACK}:0", "--"),
            *(binary("haproxy"), "-db", "-f", wrong),
        ],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "Fatal errors found in configuration" in ended.stderr


def test_a_stopped_proxy_completes_its_requests(place: Place) -> None:
    with httpx.Client(base_url=place.proxy.address, timeout=60) as client:
        rows = [{"number": number % 1000} for number in range(5_000)]
        with client.stream("POST", "/v1/models/healthy/predict", json=rows) as answer:
            place.proxy.supervisor.terminate()
            predictions = answer.read().count(b'"number"')
            assert answer.status_code == 200
    assert predictions == len(rows)
    assert place.proxy.supervisor.wait(60) == 0
