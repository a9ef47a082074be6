"""What the model server wrote arrives on the topic, whatever dies meanwhile."""

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
from slipway.predictions.feedback import FILE, FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.segment import CLOSED
from slipway.predictions.writer import PredictionLog
from tests.conftest import ROOT
from tests.services.tansu import TRUTHS, Broker, Read, Stream
from tests.services.zoo import Zoo, echo
from tests.waiting import PATIENCE, until

SMALL = 16 * 1024


def seen(found: list[Read]) -> set[str]:
    return {each.id for each in found}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path)
    yield found
    found.kill()


@pytest.fixture
def stream(tmp_path: Path, broker: Broker) -> Stream:
    folder = tmp_path / "own"
    (folder / "predictions").mkdir(parents=True)
    return Stream(folder, broker)


def append(
    log: PredictionLog, number: int, *, project: str = "titanic", answer: str = "yes"
) -> str:
    """A record in a log of small segments, as soon as there is room."""
    deadline = time.monotonic() + PATIENCE
    while True:
        id = log.next_id()
        told = line(
            id=id,
            project=project,
            version="3",
            digest="ab" * 32,
            variant="champion",
            inputs=b'{"number":%d}' % number,
            outputs=b'[{"said":"%b"}]' % answer.encode(),
            seconds=0.001,
        )
        if log.append(told):
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


def assert_in_order(found: list[Read]) -> None:
    """One partition a project; there a segment's records, copies apart, as they were written."""
    partitions, last = defaultdict(set), {}
    met = set()
    for each in found:
        partitions[each.key].add(each.partition)
        place = ids.place(each.id)
        if each.id not in met:
            met.add(each.id)
            assert place.offset > last.get((each.key, place.segment), -1), each
            last[each.key, place.segment] = place.offset
    assert all(len(each) == 1 for each in partitions.values()), partitions


# A real model server.


def test_every_answer_and_every_truth_arrives(tmp_path: Path, broker: Broker) -> None:
    """Of two workers, with the documented fields, in the log's order, once each."""
    zoo = Zoo(tmp_path / "zoo")
    for name in ("ant", "bee"):
        zoo.add(name, echo(name))
    stream = Stream(zoo.home, broker)
    with broker.running(), zoo.serving(workers=2) as server, stream.running():
        until(lambda: server.ask("bee").is_success)
        asked = {server.answer(("ant", "bee")[n % 2], n)["id"] for n in range(200)}
        sent = [{"number": number} for number in range(500)]
        many = server.client.post("/v1/models/ant/predict", json=sent).json()["id"]
        told = sorted(asked)[:20]
        for id in told:
            for number in (1.0, 2.0):
                truth = {"id": id, "truth": {"number": number}}
                assert server.client.post("/v1/feedback", json=truth).is_success
        until(lambda: stream.metric("slipway_stream_sent_total truths") == 40)
        until(lambda: stream.metric("slipway_stream_lag_records") == 0)
        assert stream.metric("slipway_stream_lag_seconds predictions") < 5
        assert stream.metric("slipway_stream_oldest_unsent_timestamp_seconds") == 0
        assert stream.metric("slipway_stream_broker_reachable") == 1
        assert stream.metric("slipway_stream_lost_total") == 0
        assert stream.ready().status_code == 200
        found, truths = stream.predictions(), broker.read(TRUTHS)
        records = {each["id"]: each for each in reader.records(stream.folder)}
    assert asked | {many} <= records.keys() == seen(found)
    assert len(found) == len(records), "nothing died, so nothing comes twice"
    for each in found:
        assert each.value == {"schema": 1, **records[each.id]}
        assert each.key == each.value["project"]
        assert each.headers == {"project": each.key, "version": each.value["version"]}
    assert_in_order(found)
    [batch] = [each.value for each in found if each.id == many]
    assert [row["number"] for row in batch["outputs"]] == [row["number"] for row in sent]

    wanted = Counter((id, 0, revision) for id in told for revision in (1, 2))
    assert Counter((t.id, t.value["row"], t.value["revision"]) for t in truths) == wanted
    for each in truths:
        record = records[each.id]
        value = each.value
        assert value["truth"] == {"number": float(value["revision"])}
        assert value["score"] == -abs(value["revision"] - record["outputs"][0]["number"])
        assert (value["schema"], value["predicted"]) == (1, record["time"])
        assert (each.key, value["variant"]) == (record["project"], record["variant"])
        assert each.headers == {"project": record["project"], "version": record["version"]}
    assert {each.key for each in truths} == {"ant", "bee"}


def test_a_stream_that_is_killed_again_and_again_loses_nothing(
    tmp_path: Path, broker: Broker
) -> None:
    """What comes twice is no more than a batch a death."""
    zoo = Zoo(tmp_path / "zoo")
    zoo.add("ant", echo("ant"))
    stream, rng = Stream(zoo.home, broker), random.Random(5)
    asked, stopping, deaths = set(), threading.Event(), 6

    def ask() -> None:
        with httpx.Client(base_url=server.address, timeout=60) as client:
            while not stopping.is_set():
                told = client.post("/v1/models/ant/predict", json={"number": 1})
                asked.add(told.json()["id"])
                time.sleep(0.005)

    with broker.running(), zoo.serving(workers=2) as server:
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for _ in range(deaths):
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
            until(lambda: asked <= seen(stream.predictions()))
            until(lambda: stream.metric("slipway_stream_lag_records") == 0)
            assert stream.metric("slipway_stream_lost_total") == 0
        found = stream.predictions()
    assert len(asked) > 100
    assert_in_order(found)
    assert len(found) - len(seen(found)) <= deaths * 20


def test_while_no_broker_answers_nothing_else_waits(tmp_path: Path, broker: Broker) -> None:
    """Without one at the start, and then with one that dies and comes back empty.

    What that one had confirmed went with its memory, which is not ours to prove against; what was
    written while it was away arrives at the next one.
    """
    zoo = Zoo(tmp_path / "zoo")
    zoo.add("ant", echo("ant"))
    stream = Stream(zoo.home, broker)
    with zoo.serving() as server, stream.running():
        first = {server.answer("ant", number)["id"] for number in range(50)}
        until(lambda: stream.metric("slipway_stream_failures_total") >= 2)
        until(lambda: stream.metric("slipway_stream_lag_records predictions") >= 50)
        oldest = stream.metric("slipway_stream_oldest_unsent_timestamp_seconds predictions")
        assert 0 < time.time() - oldest < 60
        until(lambda: stream.metric("slipway_stream_lag_seconds predictions") > 2)
        assert stream.metric("slipway_stream_broker_reachable") == 0
        told = stream.ready()
        assert (told.status_code, broker.address in told.text) == (503, True)
        broker.start()
        until(lambda: stream.ready().is_success)
        until(lambda: first <= seen(stream.predictions()))

        broker.kill()
        second = {server.answer("ant", number)["id"] for number in range(50)}
        until(lambda: not stream.ready().is_success)
        until(lambda: stream.metric("slipway_stream_broker_reachable") == 0)
        third = {server.answer("ant", number)["id"] for number in range(50)}
        broker.start()
        until(lambda: second | third <= seen(stream.predictions()))
        assert not first & seen(stream.predictions()), "what was confirmed is not sent again"
        until(lambda: stream.metric("slipway_stream_lag_records") == 0)
        assert stream.metric("slipway_stream_lag_seconds predictions") < 5
    said = [json.loads(row)["message"] for row in stream.log.read_text().splitlines()]
    away = [row for row in said if row.startswith("nothing is sent")]
    assert 1 < len(away) < 20, "told when it comes and when it goes, not at every attempt"
    assert f"records go to {broker.address}" in said


def test_what_no_broker_confirmed_is_sent_again(stream: Stream, broker: Broker) -> None:
    """The stream and the broker die together, while the broker keeps a batch unanswered."""
    with writing(stream) as log:
        with broker.running(), stream.running(delivery_seconds=60):
            first = append(log, 0)
            until(lambda: first in seen(stream.predictions()))
            broker.signal(signal.SIGSTOP)
            waiting = {append(log, number) for number in range(30)}
            until(lambda: stream.metric("slipway_stream_lag_records") == 30)
            time.sleep(1)
            stream.process.kill()
            stream.process.wait()
        with broker.running(), stream.running():
            until(lambda: waiting <= seen(stream.predictions()))


# The log moves on under it.


def test_segments_that_are_closed_and_compacted_meanwhile_are_sent_once(
    stream: Stream, broker: Broker
) -> None:
    """Small segments, closed at every few records and compacted at once; the stream starts and
    stops in the midst of them."""
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
            until(lambda: set(written) <= seen(stream.predictions()))
            until(lambda: stream.metric("slipway_stream_lag_records") == 0)
            assert stream.metric("slipway_stream_lost_total") == 0
        found = stream.predictions()
    assert_in_order(found)
    assert len(found) == len(written)
    assert len(list(stream.folder.glob("*.parquet"))) > 5


def test_a_place_in_a_segment_holds_when_it_is_compacted(tmp_path: Path) -> None:
    """From every place: the same that stands behind it in the lines."""
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
        compact_one = stream.folder / (name + CLOSED)
        assert compact_one.exists()
        wanted = {
            after: [each for each in lines if each.offset > after]
            for after in (follow.START, *(each.offset for each in lines))
        }
        for after, rest in wanted.items():
            assert list(follow.entries(stream.folder, name, after=after)) == rest
        parquet.write(
            stream.folder / f"{name}.parquet", ((each.record, 4 * 2**20) for each in lines)
        )
        compact_one.unlink()
        assert follow.compacted(stream.folder, name) == len(lines)
        for after, rest in wanted.items():
            assert list(follow.entries(stream.folder, name, after=after)) == rest


def test_what_went_by_age_before_it_was_sent_is_counted(stream: Stream, broker: Broker) -> None:
    with writing(stream) as log:
        old = {append(log, number) for number in range(100)}
    with stream.running():
        until(lambda: stream.metric("slipway_stream_lag_records") == 100)
        compact(stream.folder, seconds=0)
        gone = retain(stream.folder, days=0, bytes=2**30)
        assert gone.records == 100
        with writing(stream) as log:
            new = {append(log, number) for number in range(10)}
            until(lambda: stream.metric("slipway_stream_lost_total deleted") == 100)
            assert stream.metric("slipway_stream_lag_records") == 10
            with broker.running():
                until(lambda: new <= seen(stream.predictions()))
                assert not old & seen(stream.predictions())
        at = stream.metric("slipway_stream_last_lost_timestamp_seconds predictions")
        assert 0 < time.time() - at < 60
    assert "was deleted before" in stream.log.read_text()
    with stream.running():
        again = stream.metric("slipway_stream_last_lost_timestamp_seconds predictions")
        assert again == pytest.approx(at)


def test_a_segment_that_goes_after_it_was_sent_is_no_loss(stream: Stream, broker: Broker) -> None:
    with broker.running(), stream.running():
        with writing(stream) as log:
            sent = {append(log, number) for number in range(100)}
        until(lambda: sent <= seen(stream.predictions()))
        until(lambda: len(position(stream)["done"]) > 1)
        compact(stream.folder, seconds=0)
        retain(stream.folder, days=0, bytes=2**30)
        until(lambda: position(stream)["done"] == [])
        assert stream.metric("slipway_stream_lost_total") == 0


def position(stream: Stream) -> dict:
    return json.loads((stream.home / "stream" / "position.json").read_text())


# What cannot be sent.


def test_a_record_that_is_too_large_is_counted_and_passed_over(
    stream: Stream, broker: Broker
) -> None:
    with broker.running(), writing(stream) as log, stream.running(message_bytes=2000):
        before = {append(log, number) for number in range(20)}
        large = append(log, 20, answer="x" * 3000)
        after = {append(log, number) for number in range(21, 40)}
        until(lambda: before | after <= seen(stream.predictions()))
        until(lambda: stream.metric("slipway_stream_lag_records") == 0)
        assert large not in seen(stream.predictions())
        assert stream.metric("slipway_stream_lost_total predictions too_large") == 1
        assert stream.metric("slipway_stream_lost_total") == 1
        assert stream.ready().is_success
    assert f"{large} of titanic" in stream.log.read_text()


def test_a_damaged_line_is_counted_and_passed_over(stream: Stream, broker: Broker) -> None:
    with writing(stream) as log:
        written = [append(log, number) for number in range(10)]
    place = ids.place(written[4])
    with (stream.folder / f"{place.segment:08x}{CLOSED}").open("r+b") as file:
        file.seek(place.offset)
        file.write(b"?")
    with broker.running(), stream.running():
        until(lambda: set(written) - {written[4]} == seen(stream.predictions()))
        until(lambda: stream.metric("slipway_stream_lost_total damaged") == 1)
        assert stream.metric("slipway_stream_lag_records") == 0


def test_what_is_older_than_since_is_not_sent(stream: Stream, broker: Broker) -> None:
    store = FeedbackStore(stream.folder)
    with closing(store), writing(stream) as log:
        old = append(log, 1)
        store.attach(id=old, truth={"said": "no"})
        time.sleep(0.01)
        now = time.time()
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{now % 1:.3f}"[2:] + "Z"
        time.sleep(0.01)
        new = append(log, 2)
        store.attach(id=old, truth={"said": "yes"})
        with broker.running(), stream.running(since=since):
            until(lambda: seen(stream.predictions()) == {new})
            until(lambda: [t.value["revision"] for t in broker.read(TRUTHS)] == [2])
            assert stream.metric("slipway_stream_lost_total") == 0
            until(lambda: stream.metric("slipway_stream_lag_records") == 0)


# Truths.


def test_truths_of_before_there_were_numbers_are_numbered(tmp_path: Path) -> None:
    """As a store of before that has them, and a writer of before that knows nothing of them."""
    stream = Stream(tmp_path, Broker(tmp_path))
    with writing(stream) as log:
        first, second = append(log, 1), append(log, 2)
        with closing(FeedbackStore(stream.folder)) as store:
            store.attach(id=second, truth={"said": "yes"})
            store.attach(id=first, truth={"said": "no"})
        with closing(sqlite3.connect(stream.folder / FILE)) as database:
            database.executescript("DROP TRIGGER number_what_is_said; DROP TABLE said;")
        with closing(FeedbackStore(stream.folder)) as store:
            assert [each.id for each in store.said_after(0, limit=10)] == [second, first]
            with closing(sqlite3.connect(stream.folder / FILE)) as database, database:
                database.execute(
                    "INSERT INTO history VALUES (?, 0, 2, 9, '{}', 1.0, 1.0)", (first,)
                )
            store.attach(id=second, truth={"said": "no"})
            found = store.said_after(2, limit=10)
            assert [(each.id, each.revision) for each in found] == [(first, 2), (second, 2)]
            assert store.last_number() == found[-1].number
            assert (found[1].truth, found[1].score) == ({"said": "no"}, 0.0)
            assert [each.id for each in store.said_after(0, limit=1)] == [second]


def test_truths_that_are_restored_from_a_backup_go_on(stream: Stream, broker: Broker) -> None:
    with broker.running(), writing(stream) as log:
        id = append(log, 1)
        with closing(FeedbackStore(stream.folder)) as store, stream.running():
            for number in range(5):
                store.attach(id=id, reward=number)
            until(lambda: len(broker.read(TRUTHS)) == 5)
        for file in stream.folder.glob(f"{FILE}*"):
            file.unlink()
        with closing(FeedbackStore(stream.folder)) as store, stream.running():
            until(lambda: position(stream)["truth"] == 0)
            store.attach(id=id, reward=7)
            until(lambda: [t.value["reward"] for t in broker.read(TRUTHS)][5:] == [7.0])


# What it refuses.


def refused(stream: Stream, **settings: object) -> str:
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


def test_a_second_one_over_the_same_log_is_refused(stream: Stream) -> None:
    with stream.running():
        assert "held by another process" in refused(stream)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", None),
        ("{", "position.json: file: Invalid JSON"),
        ('{"truth": -1}', "position.json: truth: "),
        ('{"truht": 1}', "position.json: truht: "),
    ],
)
def test_a_position_that_is_none_is_refused(stream: Stream, text: str, said: str | None) -> None:
    (stream.home / "stream").mkdir()
    (stream.home / "stream" / "position.json").write_text(text)
    if said is None:
        with stream.running():
            return
    assert said in refused(stream)


@pytest.mark.parametrize(
    ("settings", "said"),
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
def test_a_bad_setting_is_named(stream: Stream, settings: dict[str, str], said: str) -> None:
    told = refused(stream, **settings)
    assert said in told
    assert "hush" not in told
