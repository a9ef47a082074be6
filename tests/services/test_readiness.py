"""Which worker takes requests, and when the supervisor calls one stuck."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import pytest

from services.predict import watch
from services.predict.readiness import ACCEPTING, LOADED, STARTING, Readiness, Slots
from services.predict.supervisor import CONFIRM_SECONDS, Worker
from tests.services.zoo import Server, Zoo, echo
from tests.waiting import until

# Two times with no byte in common: a mixture of them is neither, and zero is neither.
EARLIER, LATER = 1.0123456789e-5, 9.87654321e4
BEATS = 3_000_000
LIMIT = 5.0


def beat_often(name: str, begun: Event) -> None:
    times = [EARLIER, LATER]
    watch.time = type("Clock", (), {"monotonic": staticmethod(lambda: times[0])})  # type: ignore[assignment]
    with Path(name).open("r+b") as file:
        heartbeat = watch.Heartbeat(watch.page(file.fileno()))
    heartbeat.beat()
    begun.set()
    for _ in range(BEATS):
        heartbeat.beat()
        times.reverse()


def test_no_heartbeat_is_read_half_written(tmp_path: Path) -> None:
    file = tmp_path / "page"
    file.write_bytes(bytes(watch.PAGE))
    with file.open("r+b") as opened:
        heartbeat = watch.Heartbeat(watch.page(opened.fileno()))
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    writer = context.Process(target=beat_often, args=(str(file), begun))
    writer.start()
    begun.wait()
    seen: Counter[float] = Counter()
    while writer.is_alive():
        for _ in range(20_000):
            seen[heartbeat.last] += 1
    writer.join()
    assert writer.exitcode == 0
    assert set(seen) == {EARLIER, LATER}, seen


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker as the supervisor knows it, started at the time 100."""
    readable, writable = os.pipe()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        yield Worker(process, watch.page(None), readable, 0, started=100.0)
    os.close(readable)
    os.close(writable)


def set_beat(worker: Worker, value: float) -> None:
    memoryview(worker.page)[: watch.BEAT_BYTES].cast("d")[0] = value


@pytest.mark.parametrize("value", [0.0, -1.0, 99.0, 1e300, float("inf"), float("nan")])
def test_an_impossible_heartbeat_is_ignored(worker: Worker, value: float) -> None:
    set_beat(worker, 200.0)
    assert worker.still_for(201.0) == 1.0
    set_beat(worker, value)
    assert worker.still_for(202.0) == 2.0
    assert not worker.is_stuck(202.0, LIMIT)


def test_a_worker_is_stuck_only_at_the_second_look(worker: Worker) -> None:
    assert not worker.is_stuck(100.0 + LIMIT, LIMIT)
    assert not worker.is_stuck(106.0, LIMIT)
    assert not worker.is_stuck(106.0 + CONFIRM_SECONDS / 2, LIMIT)
    # It goes on after all, as when the whole machine was suspended.
    set_beat(worker, 106.3)
    assert not worker.is_stuck(106.4, LIMIT)
    assert not worker.is_stuck(120.0, LIMIT)
    assert worker.is_stuck(120.0 + CONFIRM_SECONDS, LIMIT)


def test_workers_see_how_far_the_others_are() -> None:
    slots = Slots()
    numbers = [slots.take() for _ in range(3)]
    first, second, third = (Readiness(os.dup(slots.descriptor), number) for number in numbers)
    assert len(set(numbers)) == 3
    assert first.others == STARTING
    first.reach(LOADED)
    first.reach(ACCEPTING)  # a state never goes back
    second.reach(ACCEPTING)
    assert [each.others for each in (first, second, third)] == [ACCEPTING, LOADED, LOADED]
    slots.free(numbers[0])  # it was killed
    assert third.others == ACCEPTING
    assert slots.take() == numbers[0]


class Gate:
    """Workers that load the model wait here, but for as many as may pass."""

    def __init__(self, folder: Path) -> None:
        self.passes, self.waiting = folder / "passes", folder / "waiting"
        self.passes.mkdir()
        self.waiting.mkdir()

    def let_pass(self, count: int) -> None:
        for _ in range(count):
            (self.passes / str(time.monotonic_ns())).touch()

    def model(self, name: str) -> str:
        load = f"""
    def load(self, weights):
        import os, sys, time
        from pathlib import Path
        # Not where the keeper tries it out, in a process of another name.
        if "services.predict.worker" not in sys.orig_argv:
            return
        Path({str(self.waiting)!r}, str(os.getpid())).touch()
        while True:
            for each in Path({str(self.passes)!r}).iterdir():
                try:
                    each.unlink()
                    return
                except FileNotFoundError:
                    pass
            time.sleep(0.01)

"""
        return echo(name).replace("class Zoo(Model):\n", f"class Zoo(Model):\n{load}\n")


class Callers:
    """Requests without a pause, each on a connection of its own, until the block ends."""

    def __init__(self, server: Server, *names: str) -> None:
        self._server, self._names = server, names
        self._stop = threading.Event()
        self.seen: Counter[str] = Counter()
        self.answered = 0

    def _call(self, name: str) -> None:
        place = f"{self._server.address}/v1/models/{name}/predict"
        with httpx.Client(timeout=120, headers={"Connection": "close"}) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(place, json={"number": 1})
                except httpx.TransportError:
                    continue  # it was in the worker that was killed
                self.answered += 1
                if answer.status_code not in (200, 404):
                    self.seen[f"{answer.status_code} {answer.text}"] += 1

    @contextmanager
    def calling(self) -> Iterator[None]:
        with ThreadPoolExecutor(len(self._names)) as pool:
            calls = [pool.submit(self._call, name) for name in self._names]
            try:
                yield
            finally:
                self._stop.set()
                for call in calls:
                    call.result()


def test_a_killed_workers_successor_takes_no_request_before_it_has_loaded(tmp_path: Path) -> None:
    zoo, gate = Zoo(tmp_path), Gate(tmp_path)
    zoo.add("gated", gate.model("gated"))
    zoo.add("good", echo("good"))
    gate.let_pass(2)
    with zoo.serving(workers=2) as server:
        until(lambda: server.metric("slipway_model_loaded gated") == 2)
        before = {each.pid for each in server.workers()}
        # `unknown` is refused with 404 by a worker that has loaded, and with 503 by another.
        callers = Callers(server, "good", "good", "unknown", "gated")
        with callers.calling():
            os.kill(min(before), signal.SIGKILL)
            until(lambda: {int(each.name) for each in gate.waiting.iterdir()} - before)
            # The other one answers all, for as long as the new one loads.
            answered = callers.answered
            until(lambda: callers.answered > answered + 200)
            gate.let_pass(1)
            until(lambda: server.metric("slipway_model_loaded gated") == 2)
            answered = callers.answered
            until(lambda: callers.answered > answered + 200)
        assert callers.seen == {}


def test_a_worker_that_loads_later_than_another_refuses_nothing(tmp_path: Path) -> None:
    """The first is ready as soon as it has loaded; the second still lacks a model then."""
    zoo, gate = Zoo(tmp_path), Gate(tmp_path)
    zoo.add("early", gate.model("early"))
    # A load may take as long as the test: the second worker waits at the gate almost to its end.
    with zoo.serving(workers=2, preload=1, ready=False, load_seconds=600) as server:
        until(lambda: len(list(gate.waiting.iterdir())) == 2)
        # While none has loaded, health checks are answered.
        assert server.client.get("/v1/live").status_code == 200
        assert server.client.get("/v1/ready").status_code == 503
        gate.let_pass(1)
        until(lambda: fresh(server, "/v1/ready") == 200)
        # A probe is answered by each of the workers, the one that still loads among them.
        assert {fresh(server, path) for path in 10 * ["/v1/ready", "/v2/health/ready"]} == {200}
        zoo.add("late", echo("late"))
        until(lambda: ask(server, "late") == 200)
        callers = Callers(server, "late", "late", "late", "late", "early", "unknown")
        with callers.calling():
            # Some of these connections may wait for the second worker.
            time.sleep(1)
            assert fresh(server, "/v1/live") == 200
            gate.let_pass(1)
            until(lambda: server.metric("slipway_model_loaded early") == 2)
            answered = callers.answered
            until(lambda: callers.answered > answered + 200)
        assert callers.seen == {}


def fresh(server: Server, path: str) -> int:
    """On a connection of its own, which may come to any worker."""
    return httpx.get(f"{server.address}{path}", timeout=120).status_code


def ask(server: Server, name: str) -> int:
    """Ask on a connection of its own; 0 if that came to a worker that does not answer yet."""
    place = f"{server.address}/v1/models/{name}/predict"
    try:
        return httpx.post(place, json={"number": 1}, timeout=5).status_code
    except httpx.ReadTimeout:
        return 0
