"""Every record of the model server reaches its topic, whichever process fails meanwhile."""

import json
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import pytest

from slipway.predictions import follow, ids, parquet, reader
from slipway.predictions.compact import compact, retain
from slipway.predictions.segment import CLOSED
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.services.stream.kafka_broker import LABELS, Broker, Read, Stream
from tests.services.stream.stream_records import append, ids_of, position, writing
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/stream/*", "services/predict/record*.py", "slipway/predictions/*")


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
        until(lambda: server.request("bee").is_success)
        predicted = {server.predict(("ant", "bee")[n % 2], n)["id"] for n in range(200)}
        sent = [{"number": number} for number in range(500)]
        many = server.client.post("/v1/models/ant/predict", json=sent).json()["id"]
        labelled = sorted(predicted)[:20]
        for id in labelled:
            for number in (1.0, 2.0):
                feedback = {"id": id, "label": {"number": number}}
                assert server.client.post("/v1/feedback", json=feedback).is_success
        until(lambda: stream.metric("slipway_stream_sent_total labels") == 40)
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
        assert value["label"] == {"number": float(value["revision"])}
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
        first = {server.predict("ant", number)["id"] for number in range(50)}
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
        second = {server.predict("ant", number)["id"] for number in range(50)}
        until(lambda: not stream.ready().is_success)
        until(lambda: stream.metric("slipway_stream_broker_reachable") == 0)
        third = {server.predict("ant", number)["id"] for number in range(50)}
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
