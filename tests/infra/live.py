"""Start the real services and drive them until every kind of series exists."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import yaml

from services.trainer.journal import Journal
from services.trainer.run import Request, Run, RunState
from slipway import home, policy
from slipway.features import definitions, places
from slipway.features.marks import Mark, SqliteMarks
from slipway.home import free_port
from slipway.programs.debian import binary
from tests.conftest import ROOT, running
from tests.infra import proxy_fixture
from tests.infra.flaky_backend import FAILS_AT_13
from tests.infra.names import Names
from tests.infra.proxy_fixture import Proxy
from tests.services import monitored_project
from tests.services.fake_models import ModelRegistryFixture, Server, code, echo
from tests.services.server_fixture import TrainingRepository
from tests.services.stream.kafka_broker import Broker, Stream
from tests.slipway.features.feature_repository import FeatureRepository, made_up
from tests.waiting import until

# One call costs the same for one record or many, so waiting requests form a batch.
SLOW = """
    import time
    time.sleep(0.002)
    return [Answer(number=each.number, model="slow") for each in model_input]
"""
BROKEN = "raise RuntimeError('it cannot even answer its example')"
LOOKING_UP = '''
"""Who is it?"""

from slipway.contract import Lookup, Model, Record, publish


class Customer(Record):
    orders: int


class FeedbackRecord(Record):
    orders: int


class Known(Model):
    looked_up = Lookup(entity="customer_id", service="repurchase")

    def predict(self, model_input: list[Customer]) -> list[FeedbackRecord]:
        return [FeedbackRecord(orders=each.orders) for each in model_input]


publish(Known())
'''
ROWS = 200
# More than the burn alert's `least_errors`, so that it fires.
FAILED = 8


@dataclass(frozen=True)
class Services:
    """All services, running."""

    fake_models: ModelRegistryFixture
    predict: Server
    proxy: Proxy
    addresses: dict[str, str]
    """Addresses by job."""

    def exposition(self, job: str) -> str:
        return httpx.get(f"{self.addresses[job]}/metrics", timeout=60).text

    def send_requests(self) -> None:
        """Send a little load: successes, failures, labels, look-ups, and a check of the monitor."""
        variants(self.predict, requests=5)
        for _ in range(3):
            assert self.predict.request("failing", 13).status_code == 500
            self.predict.predict("slow")
        self.predict.client.post("/v1/models/known/predict", json={"customer_id": 1})
        through = f"{self.proxy.address}/v1/models/healthy/predict"
        assert httpx.post(through, json={"number": 1}, timeout=60).is_success
        httpx.post(
            f"{self.addresses['monitor']}/v1/projects/{monitored_project.NAME}/check", timeout=60
        )


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Run all services until the block ends."""
    fake_models = ModelRegistryFixture(folder / "fake_models")
    with ExitStack() as stack:
        predict = start_predict(stack, fake_models)
        proxy = start_proxy(stack, folder / "proxy", predict)
        addresses = {
            "predict": predict.address,
            "monitor": start_monitor(stack, fake_models),
            "trainer": start_trainer(stack, TrainingRepository(folder / "training_repository")),
            "features": start_features(stack, folder),
            "stream": start_stream(stack, fake_models),
            "proxy": proxy.metrics_address,
            "node": start_node_exporter(stack, folder),
        }
        yield Services(fake_models, predict, proxy, addresses)


def start_predict(stack: ExitStack, fake_models: ModelRegistryFixture) -> Server:
    """Start a model server; produce successes, failures, a fault and two versions at once."""
    for alias in ("champion", "challenger", "shadow"):
        fake_models.add("healthy", echo("healthy"), alias=alias)
    policy.write(fake_models.client, "healthy", policy.Policy(challenger=50, shadow=100))
    fake_models.add("failing", FAILS_AT_13)
    fake_models.add("broken", code(BROKEN))
    fake_models.add("slow", code(SLOW))
    fake_models.add("known", LOOKING_UP, example={"input": {"orders": 1}, "output": {"orders": 1}})
    server = stack.enter_context(fake_models.serving())
    wanted = {"healthy", "failing", "slow", "known"}

    def served() -> set[str]:
        return {each["name"] for each in server.client.get("/v1/models").json()["models"]}

    until(lambda: wanted <= served())
    until(lambda: server.metric('slipway_model_faults project="broken"') == 1)
    until(lambda: {"champion", "challenger"} == variants(server, requests=20))
    until(lambda: server.metric('slipway_requests_total variant="shadow"') > 0)
    for _ in range(FAILED):
        assert server.request("failing", 13).status_code == 500
    for _ in range(3):
        assert server.predict("slow")["predictions"]
    look_up(server, fake_models)
    return server


def variants(server: Server, *, requests: int) -> set[str]:
    """Return the variants that served requests; send a label for each prediction."""
    found = set()
    for _ in range(requests):
        response = server.predict("healthy")
        found.add(response["variant"])
        label = {"id": response["id"], "label": {"number": 1.0}}
        assert server.client.post("/v1/feedback", json=label).is_success
    return found


def look_up(server: Server, fake_models: ModelRegistryFixture) -> None:
    """Look up features in a missing store, then in an existing one."""

    def predict() -> httpx.Response:
        return server.client.post("/v1/models/known/predict", json={"customer_id": 1})

    assert predict().status_code == 503
    small = FeatureRepository(fake_models.folder / "store")
    small.write(made_up())
    variables = {**os.environ, **small.environment, "PYTHONPATH": str(ROOT)}
    variables.pop(places.REDIS, None)
    command = [sys.executable, "-m", "slipway", "features", "materialize"]
    done = subprocess.run(command, cwd=small.root, env=variables, capture_output=True, text=True)
    assert (small.root / "home" / "features" / "online.db").is_file(), done.stdout + done.stderr
    shutil.copytree(
        small.root / "home" / "features", fake_models.home / "features", dirs_exist_ok=True
    )
    # The store has more fields than the model accepts (422), but the look-up succeeds.
    until(lambda: predict().status_code != 503)


def fill_online_store(folder: Path) -> None:
    """Write the marks of every view, as materialization does."""
    file = places.online_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    with closing(sqlite3.connect(file)) as connection:
        for view in definitions.load().views:
            SqliteMarks(connection).write(Mark(view, "abc", now, now, 3, now))


def start_features(stack: ExitStack, folder: Path) -> str:
    """Start the exporter of a filled online store; return its address."""
    fill_online_store(folder / "features")
    address = f"http://{home.LOOPBACK}:{free_port()}"
    env = {
        "SLIPWAY_HOME": str(folder),
        "SLIPWAY_FEATURES_PORT": address.rpartition(":")[2],
    }
    command = (sys.executable, "-m", "services.features")
    stack.enter_context(
        running(*command, env=env, log=folder / "features.log", ready=f"{address}/metrics")
    )
    return address


def start_stream(stack: ExitStack, fake_models: ModelRegistryFixture) -> str:
    """Start a stream, wait until it has sent predictions and labels; return its address."""
    broker = stack.enter_context(Broker(fake_models.folder).running())
    stream = stack.enter_context(Stream(fake_models.home, broker).running())
    until(lambda: stream.metric("slipway_stream_sent_total predictions") > 0)
    until(lambda: stream.metric("slipway_stream_sent_total labels") > 0)
    return stream.address


def start_proxy(stack: ExitStack, folder: Path, predict: Server) -> Proxy:
    """Start the proxy before the model server."""
    names, port = (
        Names(proxy_fixture.SERVICE, home.LOOPBACK),
        int(predict.address.rpartition(":")[2]),
    )
    standing = stack.enter_context(proxy_fixture.run_proxy(folder, names, servers=port))
    until(lambda: standing.servers() == 1)
    return standing


def start_node_exporter(stack: ExitStack, folder: Path) -> str:
    """Start this machine's exporter with the settings of docker-compose.yml; return its address."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    written = [each.replace("$$", "$") for each in compose["services"]["node-exporter"]["command"]]
    # Paths of the machine's folders in a container; they do not apply here.
    settings = [each for each in written if not each.startswith("--path.")]
    listening = f"{home.LOOPBACK}:{free_port()}"
    command = (binary("node-exporter"), f"--web.listen-address={listening}", *settings)
    log, address = folder / "node.log", f"http://{listening}"
    stack.enter_context(running(*command, env={}, log=log, ready=f"{address}/metrics"))
    return address


def start_monitor(stack: ExitStack, fake_models: ModelRegistryFixture) -> str:
    """Start a monitor, check a project and one without reference; return its address."""
    monitored_project.register(fake_models, monitored_project.reference_rows(ROWS))
    records, folder = monitored_project.traffic(ROWS, seed=1), fake_models.home / "predictions"
    ids = monitored_project.write_segment(folder, records, segment=901, at=time.time() - 5)
    monitored_project.attach(folder, list(zip(ids, records, strict=True)), right=0.85)
    address = f"http://{home.LOOPBACK}:{free_port()}"
    env = {
        "SLIPWAY_HOME": str(fake_models.home),
        "MLFLOW_TRACKING_URI": fake_models.uri,
        "SLIPWAY_MONITOR_PORT": address.rpartition(":")[2],
        "SLIPWAY_MONITOR_REPORTS": "0",
        "SLIPWAY_MONITOR_MATURITY_SECONDS": "0",
    }
    log = fake_models.folder / "monitor.log"
    command = (sys.executable, "-m", "services.monitor")
    stack.enter_context(running(*command, env=env, log=log, ready=f"{address}/v1/live"))
    client = stack.enter_context(httpx.Client(base_url=address, timeout=60))
    outcomes = {monitored_project.NAME: "judged", "healthy": "no_reference"}

    def checked() -> bool:
        responses = [client.post(f"/v1/projects/{name}/check") for name in outcomes]
        found = [each.json().get("outcome") for each in responses if each.is_success]
        return found == list(outcomes.values())

    until(checked)
    return address


def start_trainer(stack: ExitStack, training_repository: TrainingRepository) -> str:
    """Start a trainer with a failed and a successful run in its journal; return its address."""
    own_home = training_repository.home("trainer")
    journal = Journal(own_home / "trainer")
    for number, state in enumerate((RunState.FAILED, RunState.SUCCEEDED)):
        run = Run(
            request=Request(project="flowers", reason="a test"),
            id=f"20260101T00000{number}-abcdef",
            trigger="request",
            actor="test",
            requested=time.time(),
        )
        journal.queued(run)
        journal.change(run.id, "ended", state=state, ended=time.time())
    client = stack.enter_context(training_repository.trainer(own_home))
    # An alert that retraining cannot cure, so that no run starts.
    alert = {"status": "firing", "labels": {"project": "petals", "action": "page"}}
    response = client.http.post("/v1/alerts", json={"version": "4", "alerts": [alert]})
    assert response.is_success, response.text
    return str(client.http.base_url)
