"""Test which workers accept requests, and when the supervisor treats a worker as stuck."""

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
from tests.services.fake_models import ModelRegistryFixture, Server, echo
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
    """A worker as the supervisor sees it, started at time 100."""
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
    assert worker.stalled_for(201.0) == 1.0
    set_beat(worker, value)
    assert worker.stalled_for(202.0) == 2.0
    assert not worker.is_stuck(202.0, LIMIT)


def test_a_worker_is_stuck_only_at_the_second_check(worker: Worker) -> None:
    assert not worker.is_stuck(100.0 + LIMIT, LIMIT)
    assert not worker.is_stuck(106.0, LIMIT)
    assert not worker.is_stuck(106.0 + CONFIRM_SECONDS / 2, LIMIT)
    # It resumes, as after the whole machine was suspended.
    set_beat(worker, 106.3)
    assert not worker.is_stuck(106.4, LIMIT)
    assert not worker.is_stuck(120.0, LIMIT)
    assert worker.is_stuck(120.0 + CONFIRM_SECONDS, LIMIT)


def test_workers_see_the_states_of_the_others() -> None:
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
    """A model whose workers wait while loading it, until the test lets them pass."""

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
        # Not during the try-out, which runs in a process of another name.
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
        return echo(name).replace("class FakeModel(Model):\n", f"class FakeModel(Model):\n{load}\n")


class Callers:
    """Callers that send requests without pause, each on a new connection, until the block ends."""

    def __init__(self, server: Server, *names: str) -> None:
        self._server, self._names = server, names
        self._stop = threading.Event()
        self.errors: Counter[str] = Counter()
        self.responses = 0

    def _call(self, name: str) -> None:
        url = f"{self._server.address}/v1/models/{name}/predict"
        with httpx.Client(timeout=120, headers={"Connection": "close"}) as client:
            while not self._stop.is_set():
                try:
                    response = client.post(url, json={"number": 1})
                except httpx.TransportError:
                    continue  # the request was in the killed worker
                self.responses += 1
                if response.status_code not in (200, 404):
                    self.errors[f"{response.status_code} {response.text}"] += 1

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
    registry, gate = ModelRegistryFixture(tmp_path), Gate(tmp_path)
    registry.add("gated", gate.model("gated"))
    registry.add("good", echo("good"))
    gate.let_pass(2)
    with registry.serving(workers=2) as server:
        until(lambda: server.metric("slipway_model_loaded gated") == 2)
        before = {each.pid for each in server.workers()}
        # `unknown` is refused with 404 by a worker that has loaded, and with 503 by another.
        callers = Callers(server, "good", "good", "unknown", "gated")
        with callers.calling():
            os.kill(min(before), signal.SIGKILL)
            until(lambda: {int(each.name) for each in gate.waiting.iterdir()} - before)
            # The other worker responds to all requests while the new one loads.
            before_count = callers.responses
            until(lambda: callers.responses > before_count + 200)
            gate.let_pass(1)
            until(lambda: server.metric("slipway_model_loaded gated") == 2)
            before_count = callers.responses
            until(lambda: callers.responses > before_count + 200)
        assert callers.errors == {}


def test_a_worker_that_loads_later_than_another_refuses_nothing(tmp_path: Path) -> None:
    """The first worker is ready once it has loaded; the second still lacks a model then."""
    registry, gate = ModelRegistryFixture(tmp_path), Gate(tmp_path)
    registry.add("early", gate.model("early"))
    # The second worker waits at the gate almost to the end of the test.
    with registry.serving(workers=2, preload=1, ready=False, load_seconds=600) as server:
        until(lambda: len(list(gate.waiting.iterdir())) == 2)
        # Health checks get a response while no worker has loaded.
        assert server.client.get("/v1/live").status_code == 200
        assert server.client.get("/v1/ready").status_code == 503
        gate.let_pass(1)
        until(lambda: status_of(server, "/v1/ready") == 200)
        # Every worker answers a probe, the one that still loads among them.
        probes = 10 * ["/v1/ready", "/v2/health/ready"]
        assert {status_of(server, path) for path in probes} == {200}
        registry.add("late", echo("late"))
        until(lambda: predict_status(server, "late") == 200)
        callers = Callers(server, "late", "late", "late", "late", "early", "unknown")
        with callers.calling():
            # Some of these connections may wait for the second worker.
            time.sleep(1)
            assert status_of(server, "/v1/live") == 200
            gate.let_pass(1)
            until(lambda: server.metric("slipway_model_loaded early") == 2)
            before_count = callers.responses
            until(lambda: callers.responses > before_count + 200)
        assert callers.errors == {}


def status_of(server: Server, path: str) -> int:
    """Send a request on a new connection, which any worker may accept."""
    return httpx.get(f"{server.address}{path}", timeout=120).status_code


def predict_status(server: Server, name: str) -> int:
    """Send a request on a new connection; return 0 if a worker accepts it that still loads."""
    url = f"{server.address}/v1/models/{name}/predict"
    try:
        return httpx.post(url, json={"number": 1}, timeout=5).status_code
    except httpx.ReadTimeout:
        return 0
