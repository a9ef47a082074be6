"""The services, started for real and driven until each kind of series is there."""

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
from services.trainer.run import Request, Run, State
from slipway import home, policy
from slipway.debian import binary
from slipway.features import definitions, places
from slipway.features.marks import Mark, SqliteMarks
from slipway.home import free_port
from tests.conftest import ROOT, running
from tests.infra import door
from tests.infra.door import Door
from tests.infra.names import Names
from tests.infra.unlucky import UNLUCKY
from tests.services import shop
from tests.services.tansu import Broker, Stream
from tests.services.yard import Yard
from tests.services.zoo import Server, Zoo, code, echo
from tests.slipway.shop import Shop, made_up
from tests.waiting import until

# One call costs the same for one record or many, so requests wait and are answered together.
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


class Told(Record):
    orders: int


class Known(Model):
    looked_up = Lookup(entity="customer_id", service="repurchase")

    def predict(self, model_input: list[Customer]) -> list[Told]:
        return [Told(orders=each.orders) for each in model_input]


publish(Known())
'''
ROWS = 200
# More than the burn alert's `least_errors`, so that it fires.
FAILED = 8


@dataclass(frozen=True)
class Services:
    """All of them, running."""

    zoo: Zoo
    predict: Server
    door: Door
    addresses: dict[str, str]
    """By job."""

    def exposition(self, job: str) -> str:
        return httpx.get(f"{self.addresses[job]}/metrics", timeout=60).text

    def asked(self) -> None:
        """A little load: answers, failures, truths, features, another check of the monitor."""
        variants(self.predict, asked=5)
        for _ in range(3):
            assert self.predict.ask("ill", 13).status_code == 500
            self.predict.answer("slow")
        self.predict.client.post("/v1/models/known/predict", json={"customer_id": 1})
        through = f"{self.door.address}/v1/models/well/predict"
        assert httpx.post(through, json={"number": 1}, timeout=60).is_success
        httpx.post(f"{self.addresses['monitor']}/v1/projects/{shop.NAME}/check", timeout=60)


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """All of them, until the block ends."""
    zoo = Zoo(folder / "zoo")
    with ExitStack() as stack:
        predict = predicting(stack, zoo)
        front = fronted(stack, folder / "door", predict)
        addresses = {
            "predict": predict.address,
            "monitor": monitored(stack, zoo),
            "trainer": trained(stack, Yard(folder / "yard")),
            "features": freshness(stack, folder),
            "stream": streamed(stack, zoo),
            "proxy": front.figures,
            "node": machine(stack, folder),
        }
        yield Services(zoo, predict, front, addresses)


def predicting(stack: ExitStack, zoo: Zoo) -> Server:
    """A model server that has answered well, ill, not at all, and with two versions at once."""
    for alias in ("champion", "challenger", "shadow"):
        zoo.add("well", echo("well"), alias=alias)
    policy.write(zoo.client, "well", policy.Policy(challenger=50, shadow=100))
    zoo.add("ill", UNLUCKY)
    zoo.add("broken", code(BROKEN))
    zoo.add("slow", code(SLOW))
    zoo.add("known", LOOKING_UP, example={"input": {"orders": 1}, "output": {"orders": 1}})
    server = stack.enter_context(zoo.serving())
    wanted = {"well", "ill", "slow", "known"}

    def served() -> set[str]:
        return {each["name"] for each in server.client.get("/v1/models").json()["models"]}

    until(lambda: wanted <= served())
    until(lambda: server.metric('slipway_model_faults project="broken"') == 1)
    until(lambda: {"champion", "challenger"} == variants(server, asked=20))
    until(lambda: server.metric('slipway_requests_total variant="shadow"') > 0)
    for _ in range(FAILED):
        assert server.ask("ill", 13).status_code == 500
    for _ in range(3):
        assert server.answer("slow")["predictions"]
    look_up(server, zoo)
    return server


def variants(server: Server, *, asked: int) -> set[str]:
    """Which answered, and had the truth told."""
    found = set()
    for _ in range(asked):
        told = server.answer("well")
        found.add(told["variant"])
        truth = {"id": told["id"], "truth": {"number": 1.0}}
        assert server.client.post("/v1/feedback", json=truth).is_success
    return found


def look_up(server: Server, zoo: Zoo) -> None:
    """In a store that is not there, then in one that is."""

    def asked() -> httpx.Response:
        return server.client.post("/v1/models/known/predict", json={"customer_id": 1})

    assert asked().status_code == 503
    small = Shop(zoo.folder / "store")
    small.write(made_up())
    variables = {**os.environ, **small.environment, "PYTHONPATH": str(ROOT)}
    variables.pop(places.REDIS, None)
    command = [sys.executable, "-m", "slipway", "features", "materialize"]
    done = subprocess.run(command, cwd=small.root, env=variables, capture_output=True, text=True)
    assert (small.root / "home" / "features" / "online.db").is_file(), done.stdout + done.stderr
    shutil.copytree(small.root / "home" / "features", zoo.home / "features", dirs_exist_ok=True)
    # What is found is more than the model takes (422), but found.
    until(lambda: asked().status_code != 503)


def fill_online_store(folder: Path) -> None:
    """Marks of every view, as materializing leaves them."""
    file = places.online_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    with closing(sqlite3.connect(file)) as connection:
        for view in definitions.load().views:
            SqliteMarks(connection).write(Mark(view, "abc", now, now, 3, now))


def freshness(stack: ExitStack, folder: Path) -> str:
    """Of what tells of a filled online store, the address."""
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


def streamed(stack: ExitStack, zoo: Zoo) -> str:
    """Of a stream that has sent predictions and truths, the address."""
    broker = stack.enter_context(Broker(zoo.folder).running())
    stream = stack.enter_context(Stream(zoo.home, broker).running())
    until(lambda: stream.metric("slipway_stream_sent_total predictions") > 0)
    until(lambda: stream.metric("slipway_stream_sent_total truths") > 0)
    return stream.address


def fronted(stack: ExitStack, folder: Path, predict: Server) -> Door:
    """The door before the model server."""
    names, port = Names(door.SERVICE, home.LOOPBACK), int(predict.address.rpartition(":")[2])
    standing = stack.enter_context(door.standing(folder, names, servers=port))
    until(lambda: standing.servers() == 1)
    return standing


def machine(stack: ExitStack, folder: Path) -> str:
    """Of the exporter of this machine, the address; with the settings of docker-compose.yml."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    written = [each.replace("$$", "$") for each in compose["services"]["node-exporter"]["command"]]
    # Where a container finds the machine's folders; here they are where they are.
    settings = [each for each in written if not each.startswith("--path.")]
    listening = f"{home.LOOPBACK}:{free_port()}"
    command = (binary("node-exporter"), f"--web.listen-address={listening}", *settings)
    log, address = folder / "node.log", f"http://{listening}"
    stack.enter_context(running(*command, env={}, log=log, ready=f"{address}/metrics"))
    return address


def monitored(stack: ExitStack, zoo: Zoo) -> str:
    """Of a monitor that has judged a project and found one without reference, the address."""
    shop.register(zoo, shop.reference_rows(ROWS))
    records, folder = shop.traffic(ROWS, seed=1), zoo.home / "predictions"
    ids = shop.write_segment(folder, records, segment=901, at=time.time() - 5)
    shop.attach(folder, list(zip(ids, records, strict=True)), right=0.85)
    address = f"http://{home.LOOPBACK}:{free_port()}"
    env = {
        "SLIPWAY_HOME": str(zoo.home),
        "MLFLOW_TRACKING_URI": zoo.uri,
        "SLIPWAY_MONITOR_PORT": address.rpartition(":")[2],
        "SLIPWAY_MONITOR_REPORTS": "0",
        "SLIPWAY_MONITOR_MATURITY_SECONDS": "0",
    }
    log = zoo.folder / "monitor.log"
    command = (sys.executable, "-m", "services.monitor")
    stack.enter_context(running(*command, env=env, log=log, ready=f"{address}/v1/live"))
    client = stack.enter_context(httpx.Client(base_url=address, timeout=60))
    outcomes = {shop.NAME: "judged", "well": "no_reference"}

    def checked() -> bool:
        told = [client.post(f"/v1/projects/{name}/check") for name in outcomes]
        found = [each.json().get("outcome") for each in told if each.is_success]
        return found == list(outcomes.values())

    until(checked)
    return address


def trained(stack: ExitStack, yard: Yard) -> str:
    """Of a trainer, the address; of the runs in its journal one failed and one succeeded."""
    own_home = yard.home("trainer")
    journal = Journal(own_home / "trainer")
    for number, state in enumerate((State.FAILED, State.SUCCEEDED)):
        run = Run(
            request=Request(project="flowers", reason="a test"),
            id=f"20260101T00000{number}-abcdef",
            trigger="request",
            actor="test",
            requested=time.time(),
        )
        journal.queued(run)
        journal.change(run.id, "ended", state=state, ended=time.time())
    client = stack.enter_context(yard.trainer(own_home))
    # What training cannot cure, so that it starts nothing.
    alert = {"status": "firing", "labels": {"project": "petals", "action": "page"}}
    told = client.http.post("/v1/alerts", json={"version": "4", "alerts": [alert]})
    assert told.is_success, told.text
    return str(client.http.base_url)
