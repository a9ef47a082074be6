"""The server keeps serving and logging while parts of the platform fail."""

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from infra.load.generator import LoadOutcome, LoadTarget, closed
from slipway import home
from slipway.home import free_port
from slipway.predictions import reader
from tests.conftest import running
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/predict/*", "slipway/predictions/*", "infra/load/*")

BODY = b'{"number": 1}'
REQUEST = (
    b"POST /v1/models/model/predict HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


class Load:
    """Load on persistent connections, as fast as the server responds, for some seconds."""

    def __init__(self, server: Server, *, seconds: float, connections: int = 8) -> None:
        port = int(server.address.rpartition(":")[2])
        target = LoadTarget(home.LOOPBACK, port, [REQUEST], "predictions")
        self._run = lambda: asyncio.run(closed(target, connections=connections, seconds=seconds))
        self._thread = threading.Thread(target=self._work)
        self.outcome: LoadOutcome

    def _work(self) -> None:
        self.outcome = self._run()

    def __enter__(self) -> "Load":
        self._thread.start()
        time.sleep(0.5)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistryFixture:
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("one"))
    registry.add("model", echo("two"), alias=None)
    return registry


def kill_tree(pid: int) -> None:
    process = psutil.Process(pid)
    for each in [*process.children(recursive=True), process]:
        each.kill()


def logged_ids(registry: ModelRegistryFixture) -> set[str]:
    reader.recover(registry.home / "predictions")
    return {each["id"] for each in reader.records(registry.home / "predictions")}


# One promotion per second: SLIPWAY_TEST_PROMOTIONS=60 runs for a minute.
PROMOTIONS = int(os.environ.get("SLIPWAY_TEST_PROMOTIONS", "7"))


def test_promotions_under_load_lose_no_request(registry: ModelRegistryFixture) -> None:
    with registry.serving(workers=2) as server:
        with Load(server, seconds=PROMOTIONS + 1) as load:
            for turn in range(PROMOTIONS):
                version = "2" if turn % 2 == 0 else "1"
                registry.client.set_registered_model_alias("model", "champion", version)
                time.sleep(1)
        assert load.outcome.errors == {}
        assert load.outcome.answered > 1000
        for version in ("1", "2"):
            assert server.metric(f'slipway_requests_total version="{version}" status="200"') > 500
        successes = 'slipway_requests_total project="model" status="200"'
        until(lambda: server.metric(successes) == len(load.outcome.latencies))


def test_a_rolling_restart_under_load_loses_no_request(registry: ModelRegistryFixture) -> None:
    with registry.serving(workers=2) as server:
        before = {worker.pid for worker in server.workers()}
        with Load(server, seconds=10) as load:
            server.signal(signal.SIGHUP)
            until(lambda: not before & {worker.pid for worker in server.workers()})
        assert load.outcome.errors == {}
        assert len(server.workers()) == 2
        # The counters of the replaced workers are still in the sum.
        successes = 'slipway_requests_total project="model" status="200"'
        until(lambda: server.metric(successes) == len(load.outcome.latencies))
        until(lambda: server.metric("slipway_model_loaded model") == 2)


def test_sigterm_completes_open_requests(registry: ModelRegistryFixture) -> None:
    """The last response on each connection says that the connection closes."""
    with registry.serving(drain_seconds=5) as server:
        clients = [httpx.Client(base_url=server.address) for _ in range(8)]
        stop, faults, closing = threading.Event(), [], []

        def call(client: httpx.Client) -> None:
            while not stop.is_set():
                try:
                    response = client.post("/v1/models/model/predict", json={"number": 1})
                except httpx.ConnectError:
                    return  # the server no longer accepts: nothing was sent
                except httpx.HTTPError as error:
                    faults.append(repr(error))
                    return
                if response.status_code != 200:
                    faults.append(response.text)
                if response.headers.get("connection") == "close":
                    closing.append(client)
                    return

        threads = [threading.Thread(target=call, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        server.signal(signal.SIGTERM)
        until(lambda: not server.process.is_running() or server.process.status() == "zombie")
        stop.set()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(closing) == len(clients)


def test_a_killed_worker_is_replaced_and_loses_no_record(registry: ModelRegistryFixture) -> None:
    ids = []
    with registry.serving(workers=2) as server:
        stop = threading.Event()

        def call() -> None:
            with httpx.Client(base_url=server.address, timeout=30) as client:
                while not stop.is_set():
                    try:
                        response = client.post("/v1/models/model/predict", json={"number": 1})
                        ids.append(response.json()["id"])
                    except httpx.TransportError:
                        continue  # the connection was to the killed worker

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(0.7)
            victim = server.workers()[0]
            os.kill(victim.pid, signal.SIGKILL)
            until(lambda victim=victim: victim.pid not in {w.pid for w in server.workers()})
        until(lambda: len(server.workers()) == 2)
        before = len(ids)
        until(lambda: len(ids) > before + 50)
        stop.set()
        for thread in threads:
            thread.join()
        assert server.metric("slipway_worker_restarts_total SIGKILL") == 2
        assert server.predict("model")["version"] == "1"
    assert set(ids) <= logged_ids(registry)


def test_a_killed_registry_sync_is_replaced(registry: ModelRegistryFixture) -> None:
    with registry.serving() as server:

        def sync_pid() -> int:
            (pid,) = [
                child.pid
                for child in server.process.children()
                if "services.predict.registry_sync" in child.cmdline()
            ]
            return pid

        before = sync_pid()
        os.kill(before, signal.SIGKILL)
        assert server.predict("model")["version"] == "1"
        registry.client.set_registered_model_alias("model", "champion", "2")
        until(lambda: server.predict("model")["version"] == "2")
        assert sync_pid() != before


def test_a_failed_log_disk_does_not_stop_predictions(registry: ModelRegistryFixture) -> None:
    """A file replaces the log's folder, as if its volume were gone; then the folder returns."""
    folder = registry.home / "predictions"
    with registry.serving() as server:
        server.predict("model")
        shutil.rmtree(folder)
        folder.write_text("no folder")
        with Load(server, seconds=3) as load:
            pass
        assert load.outcome.errors == {}
        until(lambda: "fault" in server.client.get("/v1/ready").json()["prediction_log"])
        until(lambda: server.metric('slipway_prediction_records_total outcome="dropped"') > 0)
        lost = server.predict("model")
        feedback = server.client.post("/v1/feedback", json={"id": lost["id"], "reward": 1})
        assert feedback.status_code in (404, 503), feedback.text
        folder.unlink()
        until(lambda: "fault" not in server.client.get("/v1/ready").json()["prediction_log"])
        kept = server.predict("model")
        feedback = server.client.post("/v1/feedback", json={"id": kept["id"], "reward": 1})
        assert feedback.status_code == 201, feedback.text
        state = server.client.get("/v1/ready").json()["prediction_log"]
        predictions = len(load.outcome.latencies) + 3
        assert state["written"] + state["dropped"] >= predictions


def test_a_small_volume_gets_small_segments(registry: ModelRegistryFixture) -> None:
    with registry.serving(log_segment_bytes=2**18) as server:
        server.predict("model")
        folder = registry.home / "predictions"
        until(lambda: {each.stat().st_size for each in folder.glob("*.jsonl.open")} == {2**18})


def test_the_server_runs_and_starts_without_mlflow(registry: ModelRegistryFixture) -> None:
    port = free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    uri, registry.uri = registry.uri, address
    mlflow_server = running(
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri),
        *("--workers", "1", "--port", port),
        env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        log=registry.folder / "mlflow.log",
        ready=f"{address}/health",
    )
    impatient = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in impatient.items():
            patch.setenv(name, value)
        with mlflow_server as mlflow, registry.serving() as server:
            assert server.client.get("/v1/ready").json()["registry"] == "reached"
            kill_tree(mlflow.pid)
            with Load(server, seconds=3) as load:
                pass
            assert load.outcome.errors == {}
            until(lambda: "away" in server.client.get("/v1/ready").json()["registry"])
            assert server.metric("slipway_registry_reachable") == 0
        with registry.serving() as server:
            assert server.predict("model")["version"] == "1"
            assert "away" in server.client.get("/v1/ready").json()["registry"]


def test_an_empty_registry_is_not_an_error(tmp_path: Path) -> None:
    registry = ModelRegistryFixture(tmp_path)
    with registry.serving(ready=False) as server:
        until(lambda: "make repro" in server.client.get("/v1/ready").text)
        assert server.client.get("/v1/ready").status_code == 503
        assert server.request("model").status_code in (404, 503)
        registry.add("model", echo("one"))
        until(lambda: server.request("model").status_code == 200)
