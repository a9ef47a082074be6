"""Every record of the model server reaches its topic, whichever process fails meanwhile."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from slipway.home import free_port
from slipway.predictions import follow, ids, parquet, reader
from slipway.predictions.compact import compact, retain
from slipway.predictions.feedback_store import FILE, FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.segment import CLOSED
from slipway.predictions.writer import PredictionLog
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.services.kafka_broker import LABELS, Broker, Read, Stream
from tests.waiting import PATIENCE, until

SMALL = 16 * 1024


def ids_of(messages: list[Read]) -> set[str]:
    return {each.id for each in messages}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def stream(tmp_path: Path, broker: Broker) -> Stream:
    folder = tmp_path / "own"
    (folder / "predictions").mkdir(parents=True)
    return Stream(folder, broker)


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


def assert_in_order(messages: list[Read]) -> None:
    """Check that each project has one partition, with a segment's records in the order written.

    Duplicates are ignored.
    """
    partitions, last = defaultdict(set), {}
    seen = set()
    for each in messages:
        partitions[each.key].add(each.partition)
        place = ids.place(each.id)
        if each.id not in seen:
            seen.add(each.id)
            assert place.offset > last.get((each.key, place.segment), -1), each
            last[each.key, place.segment] = place.offset
    assert all(len(each) == 1 for each in partitions.values()), partitions


# A real model server.


def test_every_prediction_and_label_arrives(tmp_path: Path, broker: Broker) -> None:
    """The records of two workers arrive once, with the documented fields, in the log's order."""
    registry = ModelRegistryFixture(tmp_path / "registry")
    for name in ("ant", "bee"):
        registry.add(name, echo(name))
    stream = Stream(registry.home, broker)
    with broker.running(), registry.serving(workers=2) as server, stream.running():
        until(lambda: server.ask("bee").is_success)
        predicted = {server.answer(("ant", "bee")[n % 2], n)["id"] for n in range(200)}
        sent = [{"number": number} for number in range(500)]
        many = server.client.post("/v1/models/ant/predict", json=sent).json()["id"]
        labelled = sorted(predicted)[:20]
        for id in labelled:
            for number in (1.0, 2.0):
                feedback = {"id": id, "truth": {"number": number}}
                assert server.client.post("/v1/feedback", json=feedback).is_success
        until(lambda: stream.metric("slipway_stream_sent_total truths") == 40)
        until(lambda: stream.metric("slipway_stream_lag_records") == 0)
        assert stream.metric("slipway_stream_lag_seconds predictions") < 5
        assert stream.metric("slipway_stream_oldest_unsent_timestamp_seconds") == 0
        assert stream.metric("slipway_stream_broker_reachable") == 1
        assert stream.metric("slipway_stream_lost_total") == 0
        assert stream.ready().status_code == 200
        messages, labels = stream.predictions(), broker.read(LABELS)
        records = {each["id"]: each for each in reader.records(stream.folder)}
    assert predicted | {many} <= records.keys() == ids_of(messages)
    assert len(messages) == len(records), "no process failed, so there are no duplicates"
    for each in messages:
        assert each.value == {"schema": 1, **records[each.id]}
        assert each.key == each.value["project"]
        assert each.headers == {"project": each.key, "version": each.value["version"]}
    assert_in_order(messages)
    [batch] = [each.value for each in messages if each.id == many]
    assert [row["number"] for row in batch["outputs"]] == [row["number"] for row in sent]

    expected = Counter((id, 0, revision) for id in labelled for revision in (1, 2))
    assert Counter((t.id, t.value["row"], t.value["revision"]) for t in labels) == expected
    for each in labels:
        record = records[each.id]
        value = each.value
        assert value["truth"] == {"number": float(value["revision"])}
        assert value["score"] == -abs(value["revision"] - record["outputs"][0]["number"])
        assert (value["schema"], value["predicted"]) == (1, record["time"])
        assert (each.key, value["variant"]) == (record["project"], record["variant"])
        assert each.headers == {"project": record["project"], "version": record["version"]}
    assert {each.key for each in labels} == {"ant", "bee"}


def test_a_stream_that_is_killed_again_and_again_loses_nothing(
    tmp_path: Path, broker: Broker
) -> None:
    """There is at most one batch of duplicates per kill."""
    registry = ModelRegistryFixture(tmp_path / "registry")
    registry.add("ant", echo("ant"))
    stream, rng = Stream(registry.home, broker), random.Random(5)
    predicted, stopping, kills = set(), threading.Event(), 6

    def send_requests() -> None:
        with httpx.Client(base_url=server.address, timeout=60) as client:
            while not stopping.is_set():
                response = client.post("/v1/models/ant/predict", json={"number": 1})
                predicted.add(response.json()["id"])
                time.sleep(0.005)

    with broker.running(), registry.serving(workers=2) as server:
        thread = threading.Thread(target=send_requests)
        thread.start()
        try:
            for _ in range(kills):
                with stream.running(batch_records=20):
                    before = stream.metric("slipway_stream_sent_total predictions")
                    until(lambda before=before: stream.metric("slipway_stream_sent_total") > before)
                    time.sleep(rng.uniform(0, 0.3))
                    stream.process.kill()
                    stream.process.wait()
        finally:
            stopping.set()
            thread.join()
        with stream.running(batch_records=20):
            until(lambda: predicted <= ids_of(stream.predictions()))
            until(lambda: stream.metric("slipway_stream_lag_records") == 0)
            assert stream.metric("slipway_stream_lost_total") == 0
        messages = stream.predictions()
    assert len(predicted) > 100
    assert_in_order(messages)
    assert len(messages) - len(ids_of(messages)) <= kills * 20


def test_predictions_continue_while_no_broker_responds(tmp_path: Path, broker: Broker) -> None:
    """There is no broker at the start; then one that is killed and restarted empty.

    Messages that the killed broker had confirmed are lost with its memory, beyond the stream's
    control. Records written while it was down arrive at the restarted one.
    """
    registry = ModelRegistryFixture(tmp_path / "registry")
    registry.add("ant", echo("ant"))
    stream = Stream(registry.home, broker)
    with registry.serving() as server, stream.running():
        first = {server.answer("ant", number)["id"] for number in range(50)}
        until(lambda: stream.metric("slipway_stream_failures_total") >= 2)
        until(lambda: stream.metric("slipway_stream_lag_records predictions") >= 50)
        oldest = stream.metric("slipway_stream_oldest_unsent_timestamp_seconds predictions")
        assert 0 < time.time() - oldest < 60
        until(lambda: stream.metric("slipway_stream_lag_seconds predictions") > 2)
        assert stream.metric("slipway_stream_broker_reachable") == 0
        response = stream.ready()
        assert (response.status_code, broker.address in response.text) == (503, True)
        broker.start()
        until(lambda: stream.ready().is_success)
        until(lambda: first <= ids_of(stream.predictions()))

        broker.kill()
        second = {server.answer("ant", number)["id"] for number in range(50)}
        until(lambda: not stream.ready().is_success)
        until(lambda: stream.metric("slipway_stream_broker_reachable") == 0)
        third = {server.answer("ant", number)["id"] for number in range(50)}
        broker.start()
        until(lambda: second | third <= ids_of(stream.predictions()))
        assert not first & ids_of(stream.predictions()), "what was confirmed is not sent again"
        until(lambda: stream.metric("slipway_stream_lag_records") == 0)
        assert stream.metric("slipway_stream_lag_seconds predictions") < 5
    logged = [json.loads(row)["message"] for row in stream.log.read_text().splitlines()]
    away = [row for row in logged if row.startswith("nothing is sent")]
    assert 1 < len(away) < 20, "logged when it starts and when it ends, not at every attempt"
    assert f"sending records to {broker.address}" in logged


def test_unconfirmed_records_are_sent_again(stream: Stream, broker: Broker) -> None:
    """The stream and the broker are killed together, while the broker holds a batch unconfirmed."""
    with writing(stream) as log:
        with broker.running(), stream.running(delivery_seconds=60):
            first = append(log, 0)
            until(lambda: first in ids_of(stream.predictions()))
            broker.signal(signal.SIGSTOP)
            waiting = {append(log, number) for number in range(30)}
            until(lambda: stream.metric("slipway_stream_lag_records") == 30)
            time.sleep(1)
            stream.process.kill()
            stream.process.wait()
        with broker.running(), stream.running():
            until(lambda: waiting <= ids_of(stream.predictions()))


# The log changes while the stream runs.


def test_segments_that_are_closed_and_compacted_meanwhile_are_sent_once(
    stream: Stream, broker: Broker
) -> None:
    """Small segments are closed and compacted continuously while the stream restarts."""
    written: list[str] = []
    stopping = threading.Event()

    def compact_on() -> None:
        while not stopping.is_set():
            compact(stream.folder, seconds=0)

    with broker.running(), writing(stream) as log:
        thread = threading.Thread(target=compact_on)
        thread.start()
        try:
            for _ in range(4):
                written += [append(log, n, project=f"p{n % 3}") for n in range(150)]
                with stream.running(batch_records=40):
                    written += [append(log, n, project=f"p{n % 3}") for n in range(150)]
                    until(lambda: stream.metric("slipway_stream_sent_total") >= 100)
        finally:
            stopping.set()
            thread.join()
        log.close()
        compact(stream.folder, seconds=0)
        with stream.running(batch_records=40):
            until(lambda: set(written) <= ids_of(stream.predictions()))
            until(lambda: stream.metric("slipway_stream_lag_records") == 0)
            assert stream.metric("slipway_stream_lost_total") == 0
        messages = stream.predictions()
    assert_in_order(messages)
    assert len(messages) == len(written)
    assert len(list(stream.folder.glob("*.parquet"))) > 5


def test_an_offset_stays_valid_when_its_segment_is_compacted(tmp_path: Path) -> None:
    """Reading from every offset yields the same entries before and after compaction."""
    stream = Stream(tmp_path, Broker(tmp_path))
    with writing(stream) as log:
        for number in range(60):
            append(log, number)
    names = follow.names(stream.folder)
    assert len(names) > 1
    for name in names:
        lines = list(follow.entries(stream.folder, name, after=follow.START))
        assert lines
        assert follow.count(stream.folder, name, after=follow.START) == (
            len(lines),
            lines[-1].offset,
        )
        uncompacted = stream.folder / (name + CLOSED)
        assert uncompacted.exists()
        expected = {
            after: [each for each in lines if each.offset > after]
            for after in (follow.START, *(each.offset for each in lines))
        }
        for after, rest in expected.items():
            assert list(follow.entries(stream.folder, name, after=after)) == rest
        parquet.write(
            stream.folder / f"{name}.parquet", ((each.record, 4 * 2**20) for each in lines)
        )
        uncompacted.unlink()
        assert follow.compacted(stream.folder, name) == len(lines)
        for after, rest in expected.items():
            assert list(follow.entries(stream.folder, name, after=after)) == rest


def test_records_deleted_by_age_before_they_were_sent_are_counted(
    stream: Stream, broker: Broker
) -> None:
    with writing(stream) as log:
        old = {append(log, number) for number in range(100)}
    with stream.running():
        until(lambda: stream.metric("slipway_stream_lag_records") == 100)
        compact(stream.folder, seconds=0)
        removed = retain(stream.folder, days=0, bytes=2**30)
        assert removed.records == 100
        with writing(stream) as log:
            new = {append(log, number) for number in range(10)}
            until(lambda: stream.metric("slipway_stream_lost_total deleted") == 100)
            assert stream.metric("slipway_stream_lag_records") == 10
            with broker.running():
                until(lambda: new <= ids_of(stream.predictions()))
                assert not old & ids_of(stream.predictions())
        at = stream.metric("slipway_stream_last_lost_timestamp_seconds predictions")
        assert 0 < time.time() - at < 60
    assert "was deleted before" in stream.log.read_text()
    with stream.running():
        again = stream.metric("slipway_stream_last_lost_timestamp_seconds predictions")
        assert again == pytest.approx(at)


def test_a_segment_deleted_after_it_was_sent_is_not_a_loss(stream: Stream, broker: Broker) -> None:
    with broker.running(), stream.running():
        with writing(stream) as log:
            sent = {append(log, number) for number in range(100)}
        until(lambda: sent <= ids_of(stream.predictions()))
        until(lambda: len(position(stream)["done"]) > 1)
        compact(stream.folder, seconds=0)
        retain(stream.folder, days=0, bytes=2**30)
        until(lambda: position(stream)["done"] == [])
        assert stream.metric("slipway_stream_lost_total") == 0


def position(stream: Stream) -> dict:
    return json.loads((stream.home / "stream" / "position.json").read_text())


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
        store.attach(id=old, truth={"label": "no"})
        time.sleep(0.01)
        now = time.time()
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{now % 1:.3f}"[2:] + "Z"
        time.sleep(0.01)
        new = append(log, 2)
        store.attach(id=old, truth={"label": "yes"})
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
            store.attach(id=second, truth={"label": "yes"})
            store.attach(id=first, truth={"label": "no"})
        with closing(sqlite3.connect(stream.folder / FILE)) as database:
            database.executescript("DROP TRIGGER number_what_is_said; DROP TABLE said;")
        with closing(FeedbackStore(stream.folder)) as store:
            assert [each.id for each in store.said_after(0, limit=10)] == [second, first]
            with closing(sqlite3.connect(stream.folder / FILE)) as database, database:
                database.execute(
                    "INSERT INTO history VALUES (?, 0, 2, 9, '{}', 1.0, 1.0)", (first,)
                )
            store.attach(id=second, truth={"label": "no"})
            events = store.said_after(2, limit=10)
            assert [(each.id, each.revision) for each in events] == [(first, 2), (second, 2)]
            assert store.last_number() == events[-1].number
            assert (events[1].truth, events[1].score) == ({"label": "no"}, 0.0)
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
            until(lambda: position(stream)["truth"] == 0)
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
        ("{", "position.json: file: Invalid JSON"),
        ('{"truth": -1}', "position.json: truth: "),
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
