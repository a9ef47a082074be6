"""Streamed predictions over real connections: order, failures, disconnects and slow callers."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from slipway.predictions import reader
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.services.streaming_models import EXAMPLE, streaming
from tests.waiting import until

EVENTS = {"Accept": "text/event-stream"}
COUNTING = "/v1/models/counting/predict"
FAILS_LATE = "if record.number == 666 and place == 3: raise RuntimeError('secret insides')"
FAILS_EARLY = "if record.number == 666: raise RuntimeError('secret insides')"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("streaming"))
    registry.add("plain", echo("plain"))
    for name, action in {"counting": "pass", "late": FAILS_LATE, "early": FAILS_EARLY}.items():
        registry.add(name, streaming(name, before=action), example=EXAMPLE)
    registry.add("wide", streaming("wide", text="'x' * 10_000"), example=EXAMPLE)
    for name, action in {"mixed_early": FAILS_EARLY, "mixed_late": FAILS_LATE}.items():
        registry.add(name, streaming("first"), example=EXAMPLE)
        challenger = streaming("second", before=action)
        registry.add(name, challenger, alias="challenger", example=EXAMPLE)
        tag = ("slipway.policy", '{"challenger": 100}')
        registry.client.set_registered_model_tag(name, *tag)
    registry.client.set_registered_model_tag("counting", *("slipway.policy", SHORT))
    with registry.serving(slow_seconds=2) as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == 7)
        yield running


SHORT = '{"timeout_seconds": 1.5}'


def events(text: str) -> list[tuple[str, dict]]:
    """Return the events of a stream by name, without the comments."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def stream(server: Server, name: str, record: dict, **more) -> list[tuple[str, dict]]:
    response = server.client.post(f"/v1/models/{name}/predict", json=record, headers=EVENTS, **more)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    return events(response.text)


def counted(server: Server, name: str, status: int, variant: str = "champion") -> float:
    labels = f'project="{name}" status="{status}" variant="{variant}"'
    return server.metric(f"slipway_requests_total {labels}")


def test_chunks_come_in_order_and_make_the_ordinary_answer(server: Server) -> None:
    *chunks, (name, answer) = stream(server, "counting", {"number": 12})
    assert [kind for kind, _ in chunks] == ["chunk"] * 12
    assert [each["place"] for _, each in chunks] == list(range(12))
    assert name == "prediction"
    ordinary = server.client.post(COUNTING, json={"number": 12}).json()
    assert answer["predictions"] == ordinary["predictions"]
    assert answer.keys() == ordinary.keys()
    assert answer["predictions"][0]["count"] == 12


def test_chunks_arrive_before_the_prediction_is_complete(server: Server, tmp_path: Path) -> None:
    """The model waits before its last chunk for a file that is made when the first has arrived."""
    arrived = tmp_path / "arrived"
    wait = f"while not Path({str(arrived)!r}).exists(): time.sleep(0.01)"
    record = {"number": 2, "action": wait}
    with server.client.stream("POST", "/v1/models/early/predict", json=record, headers=EVENTS) as r:
        lines = r.iter_lines()
        assert next(lines) == "event: chunk"
        arrived.touch()
        rest = "\n".join(lines)
    assert rest.count("event: chunk") == 1
    assert rest.count("event: prediction") == 1


def test_a_query_asks_for_a_stream_as_well(server: Server) -> None:
    response = server.client.post(f"{COUNTING}?stream=true", json={"number": 1})
    assert [name for name, _ in events(response.text)] == ["chunk", "prediction"]
    ordinary = server.client.post(f"{COUNTING}?stream=false", json={"number": 1})
    assert ordinary.json()["predictions"][0]["count"] == 1


def test_a_model_that_does_not_stream_says_so(server: Server) -> None:
    place = "/v1/models/plain/predict"
    refused = server.client.post(place, json={"number": 1}, headers=EVENTS)
    assert refused.status_code == 406
    assert refused.json()["detail"].startswith("plain responds with application/json; accepted was")
    both = {"Accept": "text/event-stream, application/json;q=0.5"}
    assert server.client.post(place, json={"number": 1}, headers=both).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"number": -1}, 422, "number"),
        ({}, 422, "number"),
        ([{"number": 1}, {"number": 1}], 422, "one record"),
    ],
)
def test_an_invalid_record_is_refused_before_the_stream(
    server: Server, body: object, status: int, field: str
) -> None:
    response = server.client.post(COUNTING, json=body, headers=EVENTS)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert field in response.text


def test_a_failure_before_the_first_chunk_is_an_ordinary_error(server: Server) -> None:
    before = counted(server, "early", 500)
    response = server.client.post("/v1/models/early/predict", json={"number": 666}, headers=EVENTS)
    assert response.status_code == 500
    assert "secret" not in response.text
    until(lambda: counted(server, "early", 500) == before + 1)
    assert [name for name, _ in stream(server, "early", {"number": 1})] == ["chunk", "prediction"]


def test_a_failure_after_the_start_is_the_last_event(server: Server) -> None:
    before = counted(server, "late", 500)
    found = stream(server, "late", {"number": 666})
    assert [name for name, _ in found] == ["chunk"] * 3 + ["error"]
    problem = found[-1][1]
    assert problem["status"] == 500
    assert "secret" not in json.dumps(problem)
    until(lambda: counted(server, "late", 500) == before + 1)


def test_the_time_limit_holds_between_chunks(server: Server) -> None:
    """Each chunk has the 1.5 s of the policy; the whole stream may take longer."""
    found = stream(server, "counting", {"number": 4, "seconds": 0.6})
    assert [name for name, _ in found] == ["chunk"] * 4 + ["prediction"]
    stuck = stream(server, "counting", {"number": 3, "action": "time.sleep(3600)"})
    assert [name for name, _ in stuck] == ["chunk"] * 2 + ["error"]
    assert stuck[-1][1]["status"] == 504
    # The next call starts a new process.
    assert len(stream(server, "counting", {"number": 3})) == 4


def test_a_process_that_dies_in_a_stream_is_replaced(server: Server) -> None:
    found = stream(server, "early", {"number": 3, "action": "import os; os.abort()"})
    assert [name for name, _ in found] == ["chunk"] * 2 + ["error"]
    assert found[-1][1]["status"] == 500
    assert len(stream(server, "early", {"number": 3})) == 4


def test_a_stream_is_recorded_and_measured_once_when_it_ends(server: Server) -> None:
    def figures() -> list[float]:
        label = 'project="early"'
        return [
            counted(server, "early", 200),
            server.metric(f"slipway_predict_first_chunk_seconds_count {label}"),
            server.metric(f"slipway_predict_chunks_total {label}"),
        ]

    before = figures()
    *_, (_, answer) = stream(server, "early", {"number": 5})
    until(lambda: figures() == [a + b for a, b in zip(before, (1, 1, 5), strict=True)])
    folder = server.log.parent / "home" / "predictions"
    record = reader.find(folder, answer["id"])
    assert record is not None
    assert record["inputs"] == [{"number": 5}]
    assert record["outputs"] == answer["predictions"]
    same = [each for each in reader.records(folder) if each["id"] == answer["id"]]
    assert len(same) == 1


def disconnect_after(server: Server, name: str, record: dict, chunks: int) -> None:
    """Read that many chunks of a stream, then drop the connection."""
    with httpx.Client(base_url=server.address) as client:
        place = f"/v1/models/{name}/predict"
        with client.stream("POST", place, json=record, headers=EVENTS) as response:
            seen = 0
            for line in response.iter_lines():
                seen += line == "event: chunk"
                if seen == chunks:
                    return


def test_a_disconnect_closes_the_generator_and_keeps_the_process(
    server: Server, tmp_path: Path
) -> None:
    note, folder = tmp_path / "note", server.log.parent / "home" / "predictions"
    loads = server.metric("slipway_model_errors_total")
    before, recorded = counted(server, "counting", 499), counted(server, "counting", 200)
    processes = {each.pid for each in server.process.children(recursive=True)}
    record = {"number": 5000, "seconds": 0.02, "action": f"note:{note}"}
    disconnect_after(server, "counting", record, 2)
    until(lambda: note.exists() and note.read_text())
    assert int(note.read_text().split()[-1]) < 4000
    until(lambda: counted(server, "counting", 499) == before + 1)
    assert counted(server, "counting", 200) == recorded
    assert not [each for each in reader.records(folder) if each["inputs"] == [record]]
    # The model stays loaded, and its slot is free again.
    assert len(stream(server, "counting", {"number": 2})) == 3
    assert {each.pid for each in server.process.children(recursive=True)} == processes
    assert server.metric("slipway_model_errors_total") == loads


def test_a_disconnect_before_the_first_chunk_stops_the_model(server: Server) -> None:
    before = counted(server, "early", 499)
    request = httpx.Request(
        "POST",
        f"{server.address}/v1/models/early/predict",
        json={"number": 100, "seconds": 1.0},
        headers=EVENTS,
    )
    with closing(connected(server)) as raw:
        raw.sendall(on_the_wire(request))
        time.sleep(0.3)  # the model runs, and gave nothing yet
    until(lambda: counted(server, "early", 499) == before + 1)
    # Within the model's queue a new stream starts as soon as that chunk is over.
    assert len(stream(server, "early", {"number": 2})) == 3


def connected(server: Server) -> socket.socket:
    address = httpx.URL(server.address)
    return socket.create_connection((address.host, address.port), timeout=30)


def on_the_wire(request: httpx.Request) -> bytes:
    head = b"".join(b"%b: %b\r\n" % each for each in request.headers.raw)
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (request.url.raw_path, head, request.read())


def open_connections(worker: psutil.Process) -> list:
    return [each for each in worker.net_connections() if each.raddr]


def test_a_caller_that_stops_reading_is_dropped_and_holds_no_memory(server: Server) -> None:
    """The stream of 1 GB would take that much memory if it were collected for its caller."""
    before = counted(server, "wide", 499)
    request = httpx.Request(
        "POST",
        f"{server.address}/v1/models/wide/predict",
        json={"number": 100_000},
        headers=EVENTS,
    )
    (worker,) = server.workers()
    start = worker.memory_info().rss
    with closing(connected(server)) as raw:
        raw.sendall(on_the_wire(request))
        assert raw.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: counted(server, "wide", 499) == before + 1)
        assert worker.memory_info().rss - start < 100 * 2**20
        # The server closes the connection, though its caller never took the rest.
        port = raw.getsockname()[1]
        until(lambda: port not in {each.raddr.port for each in open_connections(worker)})
    assert len(stream(server, "wide", {"number": 2})) == 3


def test_the_champion_takes_the_place_of_a_challenger_that_fails_at_the_start(
    server: Server,
) -> None:
    failed = counted(server, "mixed_early", 500, "challenger")
    *_, (_, own) = stream(server, "mixed_early", {"number": 1})
    assert (own["variant"], own["predictions"][0]["model"]) == ("challenger", "second")
    *_, (name, answer) = stream(server, "mixed_early", {"number": 666})
    assert name == "prediction"
    assert (answer["variant"], answer["predictions"][0]["model"]) == ("champion", "first")
    assert counted(server, "mixed_early", 500, "challenger") == failed + 1


def test_a_challenger_that_has_sent_a_chunk_is_not_replaced(server: Server) -> None:
    found = stream(server, "mixed_late", {"number": 666})
    assert [name for name, _ in found] == ["chunk"] * 3 + ["error"]
    assert counted(server, "mixed_late", 500, "challenger") == 1


def test_a_stream_needs_a_key_as_any_prediction_does(server: Server) -> None:
    headers = {**EVENTS, "Authorization": "Bearer slipway_nobody"}
    response = server.client.post(COUNTING, json={"number": 1}, headers=headers)
    assert response.status_code == 401
