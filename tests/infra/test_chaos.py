"""The judgement of faults, from known responses; the faults themselves need Docker."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep

import pytest
import yaml

from infra.chaos import discover, measure, results
from infra.chaos.expectations import expected
from infra.chaos.faults import Cut, Fill, InjectedFault, Kill, KillChildren, Pause
from infra.chaos.judge import (
    CallerMeasurements,
    CallerPromise,
    Expectation,
    FaultOutcome,
    Records,
    missed,
)
from infra.chaos.load import CONNECTION, Load, LoadCaller, Response
from infra.chaos.results import Results
from infra.chaos.run import unhealthy
from slipway import home
from slipway.home import free_port
from slipway.projects.readme import BLOCK, END, START
from tests.conftest import ROOT

CALM = CallerMeasurements(asked=500, steady_p99=10, p50=4, p99=12, max=30, steady_again=0)
HURT = CALM.model_copy(
    update={"errors": {"503": 3}, "last_error": 4.0, "last_error_undone": 1.0, "steady_again": 1}
)
KEPT = Records(promised=700, found=700, unpromised=0)


def lines(
    expectation: Expectation,
    *,
    plain: CallerMeasurements = CALM,
    looked_up: CallerMeasurements = CALM,
    records: Records = KEPT,
    well_again: float | None = 5,
) -> list[str]:
    outcome = FaultOutcome(
        fault="kill redis",
        why="",
        seen={"plain": plain, "looked up": looked_up},
        records=records,
        well_again=well_again,
    )
    return missed("kill redis", expectation, outcome)


UNHARMED = Expectation("no prediction passes through it")
DEGRADED = Expectation(
    "features are away",
    looked_up=CallerPromise(
        errors=frozenset({"503"}), within_seconds=3, slowest_seconds=3, must_occur=True
    ),
)


def test_what_was_promised_is_met() -> None:
    assert lines(UNHARMED) == []
    assert lines(DEGRADED, looked_up=HURT) == []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"plain": HURT}, "plain predictions without error, got 3 of 500 (3 503)"),
        (
            {"plain": CALM.model_copy(update={"max": 16_000.0})},
            "plain predictions answered within 15 s, got 16.0 s",
        ),
        (
            {"looked_up": CALM.model_copy(update={"steady_again": None})},
            "looked up predictions as fast as before, got none within the time",
        ),
        ({"plain": CallerMeasurements(asked=0, steady_p99=1)}, "plain predictions sent, got none"),
        (
            {"records": Records(promised=700, found=698, unpromised=0)},
            "every promised record found, got 2 of 700 lost",
        ),
        (
            {"records": Records(promised=700, found=700, unpromised=9)},
            "a record for every response, got 9 ids without one",
        ),
        ({"well_again": None}, "every container healthy again, got one that is not"),
    ],
)
def test_each_unmet_expectation_is_reported(given: dict, line: str) -> None:
    assert lines(UNHARMED, **given) == [f"expectation not met: kill redis: {line}"]


@pytest.mark.parametrize(
    ("update", "line"),
    [
        ({"errors": {"503": 3, "500": 1}}, "no error but 503, got 1 of 500 (1 500)"),
        ({"errors": {}, "last_error_undone": None}, "with 503, got none"),
        (
            {"last_error_undone": 3.5},
            "without error 3 s after the fault was undone, got one after 3.5 s",
        ),
        ({"max": 5_200.0}, "answered within 3 s, got 5.2 s"),
    ],
)
def test_a_promise_of_errors_has_bounds(update: dict, line: str) -> None:
    found = lines(DEGRADED, looked_up=HURT.model_copy(update=update))
    assert found == [f"expectation not met: kill redis: looked up predictions {line}"]


def test_a_full_volume_without_effect_is_reported() -> None:
    full = Expectation("a full disk", unpromised=True)
    assert lines(full, records=Records(promised=600, found=600, unpromised=100)) == []
    [line] = lines(full)
    assert line.endswith("ids without a record, got none: the fault had no effect")


def responses(seconds: float, *, start: float = 0.0, rate: int = 20) -> list[Response]:
    """Return successful responses, each after 10 ms."""
    return [Response(start + at / rate, 0.01, "200") for at in range(round(seconds * rate))]


def test_an_outage_is_measured_from_when_it_was_seen() -> None:
    # Struck at 100, undone at 102; refused for 3 s, each after half a second.
    refused = [Response(100 + at / 20, 0.5, "503") for at in range(60)]
    seen = measure.summarize(
        responses(5, start=95),
        [*refused, *responses(7, start=103)],
        struck=100,
        lasted=102,
        undone=102,
        end=110,
    )
    assert seen.asked == 200
    assert seen.errors == {"503": 60}
    assert seen.p50 == seen.p99 == seen.max == 500
    assert seen.steady_p99 == pytest.approx(10)
    assert seen.last_error == pytest.approx(3.45)
    assert seen.last_error_undone == pytest.approx(1.45)
    assert seen.steady_again == 1


def test_a_slow_second_is_not_calm_and_an_outlier_is() -> None:
    slow = [Response(at / 20, 0.2, "200") for at in range(20)]
    assert measure.calm_since([*slow, *responses(4, start=1)], 0, 5, 0.05) == 1
    outlier = [Response(0.5, 0.2, "200"), *responses(3)]
    assert measure.calm_since(outlier, 0, 3, 0.05) == 0
    assert measure.calm_since(responses(2), 0, 2.9, 0.05) is None
    assert measure.calm_since([], 0, 5, 0.05) is None


def config() -> dict:
    """Return the parts of `docker compose config` from which faults are derived."""
    configuration: dict = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    on = {
        name: each for name, each in configuration["services"].items() if not each.get("profiles")
    }
    return {**configuration, "services": on}


def test_every_service_that_goes_on_is_killed() -> None:
    killed = {each.name for each in discover.faults(config(), left_out=[]) if each.kind == "kill"}
    services = {"proxy", "predict", "redis", "postgres", "mlflow", "monitor", "trainer", "features"}
    services |= {"prometheus", "alertmanager", "grafana", "node-exporter"}
    assert {f"kill {name}" for name in services} | {"kill predict 2"} <= killed
    assert not {name for name in killed if "prepare" in name or "backup" in name}


def test_children_of_supervisors_are_killed() -> None:
    found = discover.faults(config(), left_out=[])
    assert {KillChildren("proxy", 1), KillChildren("predict", 1)} <= set(found)
    names = ["kill children of proxy", "kill children of predict"]
    assert len(discover.select(found, names)) == 2


def test_what_has_no_image_is_not_killed() -> None:
    found = discover.faults(config(), left_out=["grafana"])
    assert "kill grafana" not in [each.name for each in found]


def test_a_service_that_is_new_is_killed_too() -> None:
    configuration = config()
    configuration["services"]["cart"] = {"restart": "unless-stopped", "networks": ["door"]}
    assert Kill("cart", 1) in discover.faults(configuration, left_out=[])


def test_each_network_on_the_way_is_cut() -> None:
    configuration = config()
    found = {
        each.name for each in discover.faults(configuration, left_out=[]) if each.kind == "cut"
    }
    assert found == {
        f"cut {name} from {network}"
        for name in ("proxy", "predict", "redis")
        for network in configuration["services"][name]["networks"]
    }


def test_the_quick_faults_are_there() -> None:
    found = discover.faults(config(), left_out=[])
    names = [each.name for each in discover.select(found, list(discover.QUICK))]
    assert names == ["kill predict", "kill redis", "pause mlflow", Fill.name]
    with pytest.raises(ValueError, match="no fault kill nobody; there are: kill "):
        discover.select(found, ["kill nobody"])


@pytest.mark.parametrize("fault", discover.faults(config(), left_out=[]), ids=lambda it: it.name)
def test_plain_predictions_see_errors_at_the_proxy_only(fault: InjectedFault) -> None:
    at_proxy = fault in (Kill("proxy", 1), KillChildren("proxy", 1), Cut("proxy", 1, "door"))
    assert bool(expected(fault).plain.errors) == at_proxy
    assert expected(fault).why


@pytest.mark.parametrize("fault", [Kill("redis", 1), Pause("redis", 1), Cut("redis", 1, "store")])
def test_looked_up_ones_are_refused_at_once_without_their_store(fault: InjectedFault) -> None:
    promise = expected(fault).looked_up
    assert promise.errors == {"503"}
    assert promise.slowest_seconds <= 3


class UnreliableHandler(BaseHTTPRequestHandler):
    """Responds with success, an error, nonsense and not at all, in turn."""

    protocol_version = "HTTP/1.1"
    number = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        kind = UnreliableHandler.number = (UnreliableHandler.number + 1) % 4
        if kind == 3:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        body = b'{"id":"i","predictions":[1]}' if kind != 2 else b"no"
        self.send_response(503 if kind == 0 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def unreliable_server() -> Iterator[int]:
    server = ThreadingHTTPServer((home.LOOPBACK, 0), UnreliableHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_responses_are_distinguished_by_status() -> None:
    caller = LoadCaller("plain", "some", [b"{}"], rate=50)
    with unreliable_server() as port, Load([caller], port=port, key="k"):
        sleep(1)
    found = [each.status for each in caller.responses]
    assert {"200", "503", "body", CONNECTION} == set(found)
    assert {each.id for each in caller.responses if each.good} == {"i"}
    assert 40 <= len(found) <= 60
    assert not caller.pending


def test_who_is_refused_a_connection_has_seen_an_error() -> None:
    caller = LoadCaller("plain", "some", [b"{}"], rate=50)
    began = monotonic()
    with Load([caller], port=free_port(), key="k"):
        sleep(0.5)
    assert {each.status for each in caller.responses} == {CONNECTION}
    assert len(caller.between(began, monotonic())) >= 20


def test_a_service_that_should_run_and_does_not_is_unhealthy() -> None:
    def container(name: str, policy: str = "unless-stopped", **state: object) -> dict:
        state = {"Running": True, "Paused": False, **state}
        return {
            "Name": f"/{name}",
            "HostConfig": {"RestartPolicy": {"Name": policy}},
            "State": state,
        }

    assert unhealthy(
        [
            container("well", Health={"Status": "healthy"}),
            container("unwatched"),
            container("job", "no", Running=False),
            container("starting", Health={"Status": "starting"}),
            container("dead", Running=False),
            container("paused", Paused=True),
        ]
    ) == ["starting", "dead", "paused"]


def test_the_table_shows_what_was_seen() -> None:
    outcome = FaultOutcome(
        fault="kill redis",
        why="",
        seen={"plain": CALM, "looked up": HURT},
        records=Records(promised=700, found=700, unpromised=2),
        well_again=12.3,
        missed=["expectation not met: kill redis: ..."],
    )
    machine: dict[str, str | int | float] = {
        "cpu": "some",
        "cores": 2,
        "memory_gib": 8,
        "load_before": 0.1,
    }
    table = results.table(
        Results(machine=machine, rates={"plain": 50}, left_out=["grafana"], outcomes=[outcome])
    )
    assert "Without grafana: no image." in table
    assert (
        "| kill redis | plain | 500 | 0 | 4 | 12 | 30 |  | 0 | 12 | 700 of 700, 2 not promised |"
    ) in table
    assert "|  | looked up | 500 | 3 503 | 4 | 12 | 30 | 4.0 | 1 |  |  |" in table
    assert "- expectation not met: kill redis: ..." in table


def test_the_readme_shows_the_committed_run_and_nothing_else() -> None:
    block = BLOCK.search(results.README.read_text())
    assert block
    if not results.COMMITTED.is_file():
        assert block[0] == f"{START}\n\n{END}"
        return
    committed = Results.model_validate_json(results.COMMITTED.read_text())
    assert block[0] == f"{START}\n\n{results.table(committed)}\n\n{END}"
    assert not committed.missed
