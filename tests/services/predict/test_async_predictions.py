"""Predictions that are fetched later: seen by every worker, stopped, kept for a while."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from services.predict.async_predictions import (
    KEPT,
    KEPT_SECONDS,
    ResultStore,
    TooManyRunning,
    UnknownResult,
    owner_of,
    prefers_async,
)
from slipway.access import keys
from slipway.predictions import reader
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.streaming_models import EXAMPLE, slow
from tests.waiting import until

ASYNC = {"Prefer": "respond-async"}
PLACE = "/v1/models/slow/predict"
SLOW = '{"latency_seconds": 20.0}'


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("async"))
    registry.add("slow", slow("slow"), example=EXAMPLE, serving=SLOW)
    registry.add("quick", slow("quick"), example=EXAMPLE)
    return registry


@pytest.fixture(scope="module")
def server(registry: ModelRegistryFixture) -> Iterator[Server]:
    with registry.serving(workers=2) as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == 2)
        until(lambda: len(running.workers()) == 2)
        yield running


def start(server: Server, name: str = "slow", **record) -> str:
    """Start a prediction; return the path of its answer."""
    body = {"number": 1, **record}
    response = server.client.post(f"/v1/models/{name}/predict", json=body, headers=ASYNC)
    assert response.status_code == 202, response.text
    assert response.headers["preference-applied"] == "respond-async"
    assert response.json()["state"] == "running"
    assert response.json()["url"] == response.headers["location"]
    return response.headers["location"]


def answers(server: Server, place: str) -> list[dict]:
    """Return the answers over new connections, which come to both workers."""
    with httpx.Client(base_url=server.address, headers={"Connection": "close"}) as client:
        return [client.get(place).json() for _ in range(12)]


def ended(server: Server, place: str) -> dict:
    until(lambda: server.client.get(place).json()["state"] != "running")
    return server.client.get(place).json()


def test_every_worker_knows_the_answer(server: Server) -> None:
    place = start(server, seconds=1.0)
    assert {each["state"] for each in answers(server, place)} == {"running"}
    answer = ended(server, place)
    assert answer["state"] == "succeeded"
    assert answer["id"] == place.rpartition("/")[2]
    assert answer["response"]["predictions"] == [{"count": 1, "text": "", "model": "slow"}]
    assert answers(server, place) == [answer] * 12
    folder = server.log.parent / "home" / "predictions"
    record = reader.find(folder, answer["response"]["id"])
    assert record is not None
    assert record["outputs"] == answer["response"]["predictions"]


def test_a_failure_is_the_answer(server: Server) -> None:
    raised = ended(server, start(server, action="raise RuntimeError('secret')"))
    assert raised["state"] == "failed"
    assert raised["problem"]["status"] == 500
    assert "secret" not in json.dumps(raised)
    invalid = ended(server, start(server, number=-1))
    assert invalid["problem"]["status"] == 422
    assert invalid["problem"]["errors"][0]["field"] == "number"


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/v1/models/nobody/predict", {"json": {}}, 404),
        (PLACE, {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        (PLACE, {"json": {}, "headers": {"Authorization": "Bearer nothing"}}, 401),
    ],
)
def test_a_request_that_cannot_start_is_refused_at_once(
    server: Server, path: str, more: dict, status: int
) -> None:
    headers = {**ASYNC, **more.pop("headers", {})}
    assert server.client.post(path, headers=headers, **more).status_code == status


def test_a_deleted_prediction_stops(server: Server, tmp_path: Path) -> None:
    note = tmp_path / "note"
    place = start(server, seconds=3.0, action=f"note:{note}")
    gone = 'slipway_requests_total project="slow" status="499"'
    before = server.metric(gone)
    assert server.client.delete(place).status_code == 204
    until(lambda: server.metric(gone) == before + 1)
    assert server.client.get(place).status_code == 404
    assert server.client.delete(place).status_code == 404
    # A model process that ran only this call was ended; the next call starts another.
    assert ended(server, start(server))["state"] == "succeeded"
    time.sleep(3)
    assert not note.exists()


def test_an_answer_can_be_deleted(server: Server) -> None:
    place = start(server, "quick")
    assert ended(server, place)["state"] == "succeeded"
    assert server.client.delete(place).status_code == 204
    assert {each["status"] for each in answers(server, place)} == {404}


def test_unknown_ids_are_refused(server: Server) -> None:
    for id, status in ((uuid4(), 404), ("..%2fjobs", 404), ("x", 422)):
        assert server.client.get(f"/v1/predictions/{id}").status_code == status
        assert server.client.delete(f"/v1/predictions/{id}").status_code == status
    assert "kept for 15 minutes" in server.client.get(f"/v1/predictions/{uuid4()}").text


def test_a_disconnect_stops_a_slow_call_in_its_process(server: Server, tmp_path: Path) -> None:
    note = tmp_path / "note"
    gone = 'slipway_requests_total project="slow" status="499"'
    before = server.metric(gone)
    body = {"number": 1, "seconds": 3.0, "action": f"note:{note}"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.address + PLACE, json=body, timeout=httpx.Timeout(30, read=0.5))
    until(lambda: server.metric(gone) == before + 1)
    answer = server.client.post(PLACE, json={"number": 2}).json()
    assert answer["predictions"][0]["count"] == 2
    time.sleep(3)
    assert not note.exists()


def test_the_answer_of_a_killed_worker_is_lost_and_says_so(registry: ModelRegistryFixture) -> None:
    with registry.serving() as server:
        until(lambda: "slow" in server.client.get("/v1/models").text)
        place = start(server, seconds=60.0)
        (worker,) = server.workers()
        os.kill(worker.pid, signal.SIGKILL)
        until(lambda: server.workers() and server.workers()[0].pid != worker.pid)

        def found() -> dict:
            try:
                return httpx.get(server.address + place).json()
            except httpx.TransportError:
                return {}

        until(lambda: found().get("state") == "failed")
        assert found()["problem"]["detail"].startswith("the worker that made the prediction ended")


def test_a_stopping_server_finishes_what_it_started(registry: ModelRegistryFixture) -> None:
    with registry.serving() as server:
        until(lambda: "slow" in server.client.get("/v1/models").text)
        place = start(server, seconds=1.0)
        server.signal(signal.SIGTERM)
        server.process.wait(60)
    with registry.serving() as server:
        assert server.client.get(place).json()["state"] == "succeeded"


def key(registry: ModelRegistryFixture, scope: str) -> str:
    """Return the text of a new key."""
    return keys.create("a test", [scope], file=registry.home / "keys.json")[1]


def test_only_the_caller_can_fetch_an_answer(registry: ModelRegistryFixture) -> None:
    # Before the start: a running server reads new keys a little later.
    texts = [key(registry, "predict") for _ in range(2)]
    with registry.serving(require_keys=True) as server:
        one, other = ({"Authorization": f"Bearer {text}"} for text in texts)
        response = server.client.post(
            "/v1/models/quick/predict", json={"number": 1}, headers={**ASYNC, **one}
        )
        place = response.headers["location"]
        assert server.client.get(place).status_code == 401
        assert server.client.get(place, headers=other).status_code == 404
        assert server.client.delete(place, headers=other).status_code == 404
        # The same key may come in the other header.
        until(
            lambda: (
                server.client.get(place, headers={"X-API-Key": texts[0]}).json()["state"]
                == "succeeded"
            )
        )
        assert server.client.delete(place, headers=one).status_code == 204


def test_records_are_for_administrators(registry: ModelRegistryFixture) -> None:
    headers = {"Authorization": f"Bearer {key(registry, 'admin')}"}
    with registry.serving() as server:
        answer = server.client.post("/v1/models/quick/predict", json={"number": 3}).json()
        place = f"/v1/records/{answer['id']}"
        assert server.client.get(place).status_code == 401
        record = server.client.get(place, headers=headers).json()
        assert record["inputs"] == [{"number": 3}]
        assert record["outputs"] == answer["predictions"]
        unknown = server.client.get(f"/v1/records/{uuid4()}", headers=headers)
        assert unknown.status_code == 404
        assert "never given" in unknown.json()["detail"]


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        (b"respond-async", True),
        (b"Respond-Async, wait=10", True),
        (b"handling=lenient, respond-async; x=y", True),
        (b"respond-asynchronously", False),
        (b"", False),
    ],
)
def test_the_preference_is_read_as_rfc_7240_says(prefer: bytes, expected: bool) -> None:
    assert prefers_async({b"prefer": prefer}) is expected


def test_a_key_is_the_same_in_either_header() -> None:
    assert owner_of({b"authorization": b"Bearer k"}) == owner_of({b"x-api-key": b"k"})
    assert owner_of({b"authorization": b"Bearer k"}) != owner_of({})


def test_old_answers_go_and_the_newest_stay(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    kept = []
    for number in range(KEPT + 3):
        running = store.create("me")
        store.finish(running, b"%d" % number)
        past = time.time() - 60 + number * 0.01
        os.utime(tmp_path / f"{running.id}.json", (past, past))
        kept.append(running.id)
    assert len(list(tmp_path.glob("*.run"))) == KEPT
    for id in kept[:3]:
        with pytest.raises(UnknownResult):
            store.read(id, "me")
    assert store.read(kept[3], "me") == b"3"
    late = time.time() - KEPT_SECONDS - 1
    os.utime(tmp_path / f"{kept[-1]}.json", (late, late))
    store.clean()
    with pytest.raises(UnknownResult):
        store.read(kept[-1], "me")


def test_running_predictions_are_never_removed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    running = [store.create("me") for _ in range(KEPT)]
    late = time.time() - KEPT_SECONDS - 1
    for each in running:
        os.utime(tmp_path / f"{each.id}.run", (late, late))
    with pytest.raises(TooManyRunning, match="256 predictions run"):
        store.create("me")
    assert store.read(running[0].id, "me") is None
    for each in running:
        store.finish(each, b"done")
    assert store.read(running[0].id, "me") == b"done"


def test_an_answer_that_ends_while_it_is_deleted_leaves_nothing(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    running = store.create("me")
    store.delete(running.id, "me")
    assert running.is_deleted()
    store.finish(running, b"done")
    (tmp_path / f"{uuid4()}.json").write_bytes(b"left over")
    store.clean()
    assert not list(tmp_path.iterdir())
