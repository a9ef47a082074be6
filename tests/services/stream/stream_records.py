"""Write prediction records that a stream sends, and read its position."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from tests.services.stream.kafka_broker import Read, Stream
from tests.waiting import PATIENCE

SMALL = 16 * 1024


def ids_of(messages: list[Read]) -> set[str]:
    return {each.id for each in messages}


def append(log: PredictionLog, number: int, *, project: str = "titanic", label: str = "yes") -> str:
    """Append a record to a log of small segments, as soon as there is room; return its id."""
    deadline = time.monotonic() + PATIENCE
    while True:
        id = log.next_id()
        text = line(
            id=id,
            project=project,
            version="3",
            digest="ab" * 32,
            variant="champion",
            inputs=b'{"number":%d}' % number,
            outputs=b'[{"label":"%b"}]' % label.encode(),
            seconds=0.001,
        )
        if log.append(text):
            return id
        assert time.monotonic() < deadline, log.fault
        time.sleep(0.005)


@contextmanager
def writing(stream: Stream, **settings: float) -> Iterator[PredictionLog]:
    log = PredictionLog(stream.folder, segment_bytes=SMALL, **settings)
    try:
        yield log
    finally:
        log.close()


def position(stream: Stream) -> dict:
    return json.loads((stream.home / "stream" / "position.json").read_text())
