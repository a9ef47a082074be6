"""Records that a stream cannot send, and starts that it refuses."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from slipway.home import free_port
from slipway.predictions import ids
from slipway.predictions.feedback_store import FILE, FeedbackStore
from slipway.predictions.segment import CLOSED
from tests.conftest import ROOT
from tests.services.stream.kafka_broker import LABELS, Broker, Stream
from tests.services.stream.stream_records import append, ids_of, position, writing
from tests.waiting import until

# Records that cannot be sent.


def test_a_record_that_is_too_large_is_counted_and_skipped(stream: Stream, broker: Broker) -> None:
    with broker.running(), writing(stream) as log, stream.running(message_bytes=2000):
        before = {append(log, number) for number in range(20)}
        large = append(log, 20, label="x" * 3000)
        after = {append(log, number) for number in range(21, 40)}
        until(lambda: before | after <= ids_of(stream.predictions()))
        until(lambda: stream.metric("slipway_stream_lag_records") == 0)
        assert large not in ids_of(stream.predictions())
        assert stream.metric("slipway_stream_lost_total predictions too_large") == 1
        assert stream.metric("slipway_stream_lost_total") == 1
        assert stream.ready().is_success
    assert f"{large} of titanic" in stream.log.read_text()


def test_a_damaged_line_is_counted_and_skipped(stream: Stream, broker: Broker) -> None:
    with writing(stream) as log:
        written = [append(log, number) for number in range(10)]
    place = ids.place(written[4])
    with (stream.folder / f"{place.segment:08x}{CLOSED}").open("r+b") as file:
        file.seek(place.offset)
        file.write(b"?")
    with broker.running(), stream.running():
        until(lambda: set(written) - {written[4]} == ids_of(stream.predictions()))
        until(lambda: stream.metric("slipway_stream_lost_total damaged") == 1)
        assert stream.metric("slipway_stream_lag_records") == 0


def test_records_older_than_since_are_not_sent(stream: Stream, broker: Broker) -> None:
    store = FeedbackStore(stream.folder)
    with closing(store), writing(stream) as log:
        old = append(log, 1)
        store.attach(id=old, label={"label": "no"})
        time.sleep(0.01)
        now = time.time()
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{now % 1:.3f}"[2:] + "Z"
        time.sleep(0.01)
        new = append(log, 2)
        store.attach(id=old, label={"label": "yes"})
        with broker.running(), stream.running(since=since):
            until(lambda: ids_of(stream.predictions()) == {new})
            until(lambda: [t.value["revision"] for t in broker.read(LABELS)] == [2])
            assert stream.metric("slipway_stream_lost_total") == 0
            until(lambda: stream.metric("slipway_stream_lag_records") == 0)


# Labels.


def test_labels_from_before_the_numbering_get_numbers(tmp_path: Path) -> None:
    """The labels come from a store without numbers and from a writer that does not know them."""
    stream = Stream(tmp_path, Broker(tmp_path))
    with writing(stream) as log:
        first, second = append(log, 1), append(log, 2)
        with closing(FeedbackStore(stream.folder)) as store:
            store.attach(id=second, label={"label": "yes"})
            store.attach(id=first, label={"label": "no"})
        with closing(sqlite3.connect(stream.folder / FILE)) as database:
            database.executescript("DROP TRIGGER number_what_is_said; DROP TABLE said;")
        with closing(FeedbackStore(stream.folder)) as store:
            assert [each.id for each in store.said_after(0, limit=10)] == [second, first]
            with closing(sqlite3.connect(stream.folder / FILE)) as database, database:
                database.execute(
                    "INSERT INTO history VALUES (?, 0, 2, 9, '{}', 1.0, 1.0)", (first,)
                )
            store.attach(id=second, label={"label": "no"})
            events = store.said_after(2, limit=10)
            assert [(each.id, each.revision) for each in events] == [(first, 2), (second, 2)]
            assert store.last_number() == events[-1].number
            assert (events[1].label, events[1].score) == ({"label": "no"}, 0.0)
            assert [each.id for each in store.said_after(0, limit=1)] == [second]


def test_labels_restored_from_a_backup_are_forwarded(stream: Stream, broker: Broker) -> None:
    with broker.running(), writing(stream) as log:
        id = append(log, 1)
        with closing(FeedbackStore(stream.folder)) as store, stream.running():
            for number in range(5):
                store.attach(id=id, reward=number)
            until(lambda: len(broker.read(LABELS)) == 5)
        for file in stream.folder.glob(f"{FILE}*"):
            file.unlink()
        with closing(FeedbackStore(stream.folder)) as store, stream.running():
            until(lambda: position(stream)["label"] == 0)
            store.attach(id=id, reward=7)
            until(lambda: [t.value["reward"] for t in broker.read(LABELS)][5:] == [7.0])


# Errors at the start.


def start_error(stream: Stream, **settings: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.stream"],
        env={**os.environ, **stream.variables(free_port(), **settings)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_second_stream_for_the_same_log_is_refused(stream: Stream) -> None:
    with stream.running():
        assert "locked by another process" in start_error(stream)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", None),
        # The file of an earlier version.
        ('{"truth": 1}', None),
        ("{", "position.json: file: Invalid JSON"),
        ('{"label": -1}', "position.json: label: "),
        ('{"truht": 1}', "position.json: truht: "),
    ],
)
def test_an_invalid_position_is_refused(stream: Stream, text: str, message: str | None) -> None:
    (stream.home / "stream").mkdir()
    (stream.home / "stream" / "position.json").write_text(text)
    if message is None:
        with stream.running():
            return
    assert message in start_error(stream)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"brokers": "kafka"}, "SLIPWAY_STREAM_BROKERS"),
        ({"predictions_topic": "a b"}, "SLIPWAY_STREAM_PREDICTIONS_TOPIC"),
        ({"since": "2026-01-01"}, "SLIPWAY_STREAM_SINCE"),
        ({"security": "TLS"}, "SLIPWAY_STREAM_SECURITY"),
        (
            {"security": "SASL_SSL", "sasl_password": "hush"},
            "SLIPWAY_STREAM_SASL_USERNAME and SLIPWAY_STREAM_SASL_PASSWORD must be set",
        ),
        ({"security": "SSL", "ssl_ca": "/no/such.pem"}, "SLIPWAY_STREAM_SSL_CA: /no/such.pem"),
    ],
)
def test_a_bad_setting_is_named(stream: Stream, settings: dict[str, str], message: str) -> None:
    error = start_error(stream, **settings)
    assert message in error
    assert "hush" not in error
