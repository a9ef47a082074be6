"""Many models in one process, loaded on demand within a memory budget."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from services.predict import snapshot
from tests.services.fake_models import ModelRegistryFixture, Server, code, echo
from tests.waiting import until

MIB = 2**20


def heavy(name: str, mib: int) -> str:
    """Return a model.py that holds `mib` MiB once it is loaded."""
    body = f"return [Answer(number=len(_held), model={name!r}) for _ in model_input]"
    load = f"""
    def load(self, weights):
        global _held
        _held = b"x" * ({mib} * 2**20)
"""
    text = code(body)
    return text.replace("class FakeModel(Model):\n", f"class FakeModel(Model):\n{load}\n")


def test_a_hundred_models_in_one_process(tmp_path: Path) -> None:
    """The server is ready before all are tried out, loads few at first and serves each of them."""
    fake_models = ModelRegistryFixture(tmp_path)
    names = [f"model_{number:03d}" for number in range(100)]
    for name in names:
        fake_models.add(name, echo(name))
    with fake_models.serving(preload=4) as server:
        until(lambda: len(server.client.get("/v1/models").json()["models"]) == 100)
        assert server.metric("slipway_model_loaded") <= 8
        for name in names:
            assert server.predict(name)["predictions"][0]["model"] == name
        assert server.metric("slipway_model_loaded") == 100
        (worker,) = server.workers()
        assert worker.memory_info().rss < 500 * MIB
    with fake_models.serving(preload=100) as server:
        assert server.metric("slipway_model_loaded") == 100


def test_models_are_evicted_within_the_memory_budget(tmp_path: Path) -> None:
    fake_models = ModelRegistryFixture(tmp_path)
    for name in ("one", "two", "three", "four"):
        fake_models.add(name, heavy(name, 60))
    fake_models.add("giant", heavy("giant", 300))
    with fake_models.serving(memory_bytes=200 * MIB, preload=0) as server:
        until(lambda: len(server.client.get("/v1/models").json()["models"]) == 5)
        (worker,) = server.workers()
        before = worker.memory_info().rss
        for name in ("one", "two", "three", "one", "four"):
            assert server.predict(name)["predictions"][0]["number"] == 60 * MIB
        loaded = {
            each["name"]
            for each in server.client.get("/v1/models").json()["models"]
            if each["loaded"]
        }
        # `two` was used least recently.
        assert loaded == {"one", "three", "four"}
        assert server.metric("slipway_evictions_total two") == 1
        refused = server.request("giant")
        assert refused.status_code == 503
        assert "SLIPWAY_PREDICT_MEMORY_BYTES" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) > 60
        for _ in range(5):
            for name in ("one", "two", "three", "four"):
                assert server.request(name).status_code == 200
        # The evicted models have really left the memory.
        assert worker.memory_info().rss - before < 330 * MIB


def test_concurrent_callers_share_one_load(tmp_path: Path) -> None:
    fake_models, closed = ModelRegistryFixture(tmp_path), tmp_path / "closed"
    loads = f"""
    def load(self, weights):
        import time
        from pathlib import Path
        while Path({str(closed)!r}).exists():
            time.sleep(0.01)

"""
    fake_models.add(
        "slow",
        echo("slow").replace("class FakeModel(Model):\n", f"class FakeModel(Model):\n{loads}"),
    )
    fake_models.add("quick", echo("quick"))
    fake_models.add("late", echo("late"))
    with fake_models.serving(preload=0) as server:
        until(lambda: len(server.client.get("/v1/models").json()["models"]) == 3)
        assert predict_once(server, "quick") == 200
        closed.touch()
        statuses: list[int] = []
        # A request for another model that is not loaded waits too, and is served.
        callers = [
            threading.Thread(target=lambda name=name: statuses.append(predict_once(server, name)))
            for name in ["slow"] * 8 + ["late"]
        ]
        for caller in callers:
            caller.start()
        time.sleep(0.3)
        # Other models are served while it loads.
        assert predict_once(server, "quick") == 200
        assert statuses == []
        closed.unlink()
        for caller in callers:
            caller.join()
        assert statuses == [200] * 9
        assert server.metric("slipway_load_seconds_count") == 3


def predict_once(server: Server, name: str) -> int:
    """Return the status of one request on a new connection."""
    place = f"{server.address}/v1/models/{name}/predict"
    return httpx.post(place, json={"number": 1}, timeout=30).status_code


def test_a_full_queue_says_when_to_retry(tmp_path: Path) -> None:
    fake_models = ModelRegistryFixture(tmp_path)
    slow = """
        import time
        time.sleep(1.2 * len(model_input))
        return [Answer(number=0, model="slow") for _ in model_input]
    """
    fake_models.add("slow", code(slow))
    fake_models.add("good", echo("good"))
    fake_models.client.set_registered_model_tag(
        "slow", "slipway.policy", json.dumps({"queue": 4, "timeout_seconds": 20})
    )
    with fake_models.serving() as server:
        until(lambda: server.request("slow").status_code == 200)
        responses: list[httpx.Response] = []

        def call() -> None:
            place = f"{server.address}/v1/models/slow/predict"
            responses.append(httpx.post(place, json={"number": 1}, timeout=60))

        callers = [threading.Thread(target=call) for _ in range(12)]
        for caller in callers:
            caller.start()
        assert server.predict("good")["version"] == "1"
        for caller in callers:
            caller.join()
        counts = Counter(each.status_code for each in responses)
        assert counts[503] >= 5
        assert counts[200] + counts[503] == 12
        refused = next(each for each in responses if each.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["title"] == "Too busy"
        assert server.metric("slipway_queue_seconds_count slow") >= counts[200]


def test_batches_grow_with_the_load(tmp_path: Path) -> None:
    """A call costs 20 ms for any number of records, so the requests that wait share one call."""
    fake_models, closed = ModelRegistryFixture(tmp_path), tmp_path / "closed"
    text = f"""
        import time
        from pathlib import Path
        time.sleep(0.02)
        while Path({str(closed)!r}).exists():
            time.sleep(0.01)
        return [Answer(number=each.number * 2, model="batched") for each in model_input]
    """
    fake_models.add("batched", code(text))
    with fake_models.serving() as server:
        until(lambda: server.request("batched").status_code == 200)
        started = "slipway_queue_seconds_count batched"
        metrics = [f"slipway_batch_requests_{each} batched" for each in ("count", "sum")] + [
            started
        ]
        before = [server.metric(each) for each in metrics]
        closed.touch()
        with ThreadPoolExecutor(16) as pool:
            futures = [pool.submit(server.predict, "batched", 0)]
            # The others come while that one runs.
            until(lambda: server.metric(started) == before[2] + 1)
            futures += [pool.submit(server.predict, "batched", number) for number in range(1, 16)]
            until(lambda: server.metric("slipway_waiting batched") == 15)
            closed.unlink()
            numbers = [each.result()["predictions"][0]["number"] for each in futures]
        assert numbers == [2 * number for number in range(16)]
        increases = [server.metric(each) - was for each, was in zip(metrics, before, strict=True)]
        assert increases == [2, 16, 16]
        # An invalid record does not affect other requests.
        bad = server.client.post("/v1/models/batched/predict", json={"number": "x"})
        assert bad.status_code == 422


def test_the_snapshot_is_replaced_as_a_whole(tmp_path: Path) -> None:
    whole = snapshot.Snapshot(settled=True, faults={"a": "b"})
    snapshot.write(tmp_path, whole)
    assert snapshot.read(tmp_path) == whole
    assert snapshot.read(tmp_path / "none") == snapshot.Snapshot()
    (tmp_path / snapshot.FILE).write_text('{"projects": 3}')
    with pytest.raises(ValueError, match="projects"):
        snapshot.read(tmp_path)
