"""Many models in one process: loaded when asked, within a budget of memory."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from services.predict import snapshot
from tests.services.zoo import Server, Zoo, code, echo
from tests.waiting import until

MIB = 2**20


def heavy(name: str, mib: int) -> str:
    """Holds memory once it is loaded."""
    answer = f"return [Answer(number=len(_held), model={name!r}) for _ in model_input]"
    load = f"""
    def load(self, weights):
        global _held
        _held = b"x" * ({mib} * 2**20)
"""
    text = code(answer)
    return text.replace("class Zoo(Model):\n", f"class Zoo(Model):\n{load}\n")


def test_a_hundred_models_in_one_process(tmp_path: Path) -> None:
    """All registered, few loaded at first, each answered by itself; ready before all are tried."""
    zoo = Zoo(tmp_path)
    names = [f"model_{number:03d}" for number in range(100)]
    for name in names:
        zoo.add(name, echo(name))
    with zoo.serving(preload=4) as server:
        until(lambda: len(server.client.get("/v1/models").json()["models"]) == 100)
        assert server.metric("slipway_model_loaded") <= 8
        for name in names:
            assert server.answer(name)["predictions"][0]["model"] == name
        assert server.metric("slipway_model_loaded") == 100
        (worker,) = server.workers()
        assert worker.memory_info().rss < 500 * MIB
    start = time.monotonic()
    with zoo.serving(preload=100) as server:
        # All were tried out before: a restart takes no longer than loading does (4 s here).
        assert time.monotonic() - start < 60
        assert server.metric("slipway_model_loaded") == 100


def test_models_give_way_within_the_budget(tmp_path: Path) -> None:
    zoo = Zoo(tmp_path)
    for name in ("one", "two", "three", "four"):
        zoo.add(name, heavy(name, 60))
    zoo.add("giant", heavy("giant", 300))
    with zoo.serving(memory_bytes=200 * MIB, preload=0) as server:
        until(lambda: len(server.client.get("/v1/models").json()["models"]) == 5)
        (worker,) = server.workers()
        before = worker.memory_info().rss
        for name in ("one", "two", "three", "one", "four"):
            assert server.answer(name)["predictions"][0]["number"] == 60 * MIB
        loaded = {
            each["name"]
            for each in server.client.get("/v1/models").json()["models"]
            if each["loaded"]
        }
        # `two` was used least recently.
        assert loaded == {"one", "three", "four"}
        assert server.metric("slipway_evictions_total two") == 1
        refused = server.ask("giant")
        assert refused.status_code == 503
        assert "SLIPWAY_PREDICT_MEMORY_BYTES" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) > 60
        for _ in range(5):
            for name in ("one", "two", "three", "four"):
                assert server.ask(name).status_code == 200
        # What gave way is really gone.
        assert worker.memory_info().rss - before < 330 * MIB


def test_many_callers_share_one_loading(tmp_path: Path) -> None:
    zoo, closed = Zoo(tmp_path), tmp_path / "closed"
    loads = f"""
    def load(self, weights):
        import time
        from pathlib import Path
        while Path({str(closed)!r}).exists():
            time.sleep(0.01)

"""
    zoo.add("slow", echo("slow").replace("class Zoo(Model):\n", f"class Zoo(Model):\n{loads}"))
    zoo.add("quick", echo("quick"))
    zoo.add("late", echo("late"))
    with zoo.serving(preload=0) as server:
        until(lambda: len(server.client.get("/v1/models").json()["models"]) == 3)
        assert fresh(server, "quick") == 200
        closed.touch()
        seen: list[int] = []
        # Who asks for another that is not loaded waits too, but is answered.
        callers = [
            threading.Thread(target=lambda name=name: seen.append(fresh(server, name)))
            for name in ["slow"] * 8 + ["late"]
        ]
        for caller in callers:
            caller.start()
        time.sleep(0.3)
        # Others are served while it loads.
        assert fresh(server, "quick") == 200
        assert seen == []
        closed.unlink()
        for caller in callers:
            caller.join()
        assert seen == [200] * 9
        assert server.metric("slipway_load_seconds_count") == 3


def fresh(server: Server, name: str) -> int:
    place = f"{server.address}/v1/models/{name}/predict"
    return httpx.post(place, json={"number": 1}, timeout=30).status_code


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    zoo = Zoo(tmp_path)
    slow = """
        import time
        time.sleep(1.2 * len(model_input))
        return [Answer(number=0, model="slow") for _ in model_input]
    """
    zoo.add("slow", code(slow))
    zoo.add("good", echo("good"))
    zoo.client.set_registered_model_tag(
        "slow", "slipway.policy", json.dumps({"queue": 4, "timeout_seconds": 20})
    )
    with zoo.serving() as server:
        until(lambda: server.ask("slow").status_code == 200)
        seen: list[httpx.Response] = []

        def call() -> None:
            place = f"{server.address}/v1/models/slow/predict"
            seen.append(httpx.post(place, json={"number": 1}, timeout=60))

        callers = [threading.Thread(target=call) for _ in range(12)]
        for caller in callers:
            caller.start()
        assert server.answer("good")["version"] == "1"
        for caller in callers:
            caller.join()
        counts = Counter(each.status_code for each in seen)
        assert counts[503] >= 5
        assert counts[200] + counts[503] == 12
        refused = next(each for each in seen if each.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["title"] == "Too busy"
        assert server.metric("slipway_queue_seconds_count slow") >= counts[200]


def test_batches_grow_with_the_load(tmp_path: Path) -> None:
    """A call costs 20 ms however many records it answers: those who wait are answered together."""
    zoo, closed = Zoo(tmp_path), tmp_path / "closed"
    text = f"""
        import time
        from pathlib import Path
        time.sleep(0.02)
        while Path({str(closed)!r}).exists():
            time.sleep(0.01)
        return [Answer(number=each.number * 2, model="batched") for each in model_input]
    """
    zoo.add("batched", code(text))
    with zoo.serving() as server:
        until(lambda: server.ask("batched").status_code == 200)
        begun = "slipway_queue_seconds_count batched"
        metrics = [f"slipway_batch_requests_{each} batched" for each in ("count", "sum")] + [begun]
        before = [server.metric(each) for each in metrics]
        closed.touch()
        with ThreadPoolExecutor(16) as pool:
            answers = [pool.submit(server.answer, "batched", 0)]
            # The others come while that one is answered.
            until(lambda: server.metric(begun) == before[2] + 1)
            answers += [pool.submit(server.answer, "batched", number) for number in range(1, 16)]
            until(lambda: server.metric("slipway_waiting batched") == 15)
            closed.unlink()
            told = [each.result()["predictions"][0]["number"] for each in answers]
        assert told == [2 * number for number in range(16)]
        rose = [server.metric(each) - was for each, was in zip(metrics, before, strict=True)]
        assert rose == [2, 16, 16]
        # A damaged record among them spoils nothing for the others.
        bad = server.client.post("/v1/models/batched/predict", json={"number": "x"})
        assert bad.status_code == 422


def test_the_snapshot_is_replaced_whole(tmp_path: Path) -> None:
    whole = snapshot.Snapshot(settled=True, faults={"a": "b"})
    snapshot.write(tmp_path, whole)
    assert snapshot.read(tmp_path) == whole
    assert snapshot.read(tmp_path / "none") == snapshot.Snapshot()
    (tmp_path / snapshot.FILE).write_text('{"projects": 3}')
    with pytest.raises(ValueError, match="projects"):
        snapshot.read(tmp_path)
