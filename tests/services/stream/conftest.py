"""Fixtures of the stream's tests: a broker, and a stream to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.stream.kafka_broker import Broker, Stream


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Kafka broker without messages."""
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def stream(tmp_path: Path, broker: Broker) -> Stream:
    """A stream to the broker that is not running, over an empty prediction log."""
    folder = tmp_path / "own"
    (folder / "predictions").mkdir(parents=True)
    return Stream(folder, broker)
