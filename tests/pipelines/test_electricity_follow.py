"""Electricity online: following files and topics, also after a crash."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipelines.ml.electricity_online.export import export
from pipelines.ml.electricity_online.follow import follow, main
from pipelines.ml.electricity_online.learner import Learner, to_dicts
from pipelines.ml.electricity_online.model import (
    DAY,
    ElectricityOnline,
    Market,
    features,
)
from pipelines.ml.electricity_online.prequential import online
from pipelines.ml.electricity_online.source import EventFile
from pipelines.ml.electricity_online.topic import Topic
from pipelines.ml.electricity_online.watch import Watch
from pipelines.ml.electricity_online.window import HalfHour
from tests.conftest import ROOT
from tests.pipelines.electricity_stream import half_hours_of, labelled_markets, published_table
from tests.services.stream.kafka_broker import Broker
from tests.waiting import until

PRICES = "prices"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return published_table()


@pytest.fixture(scope="module")
def rows(table: pd.DataFrame) -> list[tuple[Market, bool]]:
    return labelled_markets(table)


@pytest.fixture(scope="module")
def events(rows: list[tuple[Market, bool]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("events") / "events.jsonl"
    lines = [labelled(*row) for row in rows]
    # Labels are flipped in between, so that the error drifts.
    turned = [labelled(each, not up) for each, up in rows]
    file.write_text("".join(lines + turned + lines))
    return file


def labelled(market: Market, up: bool) -> str:
    return json.dumps({"market": market.model_dump(), "up": up}) + "\n"


@pytest.fixture(scope="module")
def half_hours(table: pd.DataFrame) -> list[HalfHour]:
    return half_hours_of(table)


def lines(events: Path) -> list[bytes]:
    return events.read_bytes().splitlines(keepends=True)


def test_half_hours_are_followed_as_markets_are(
    half_hours: list[HalfHour], rows: list[tuple[Market, bool]], tmp_path: Path
) -> None:
    raw, ready = tmp_path / "raw.jsonl", tmp_path / "ready.jsonl"
    raw.write_text("".join(each.model_dump_json() + "\n" for each in half_hours))
    ready.write_text("".join(labelled(*row) for row in rows))
    one, other = (
        follow(EventFile(each), tmp_path / f"{each.stem}.json", learner=Learner(0.01)).learner
        for each in (raw, ready)
    )
    assert one.state()["learnt"] == other.state()["learnt"] == len(rows)
    assert one.line()[0] == pytest.approx(other.line()[0], abs=1e-6)


def test_after_a_missing_half_hour_a_new_day_is_collected(
    half_hours: list[HalfHour], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The learner is also stopped in the middle of a day, and the state keeps the half hours."""
    lines = [each.model_dump_json() + "\n" for each in half_hours[:200]]
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    for end in (20, 90, 199):
        file.write_text("".join((lines[:100] + lines[101:])[:end]))
        found = follow(EventFile(file), state, learner=Learner(0.01))
    assert found.learner.state()["learnt"] == (100 - DAY) + (99 - DAY)
    assert caplog.text.count("gap before this half hour") == 2


def test_the_watch_gets_the_error_from_before_learning(
    rows: list[tuple[Market, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[float] = []
    monkeypatch.setattr(Watch, "detects_drift", lambda self, error: errors.append(error))
    file = tmp_path / "events.jsonl"
    file.write_text("".join(labelled(*row) for row in rows[:300]))
    follow(EventFile(file), tmp_path / "state.json", learner=Learner(0.01))
    up = np.array([label for _, label in rows[:300]])
    numbers = features([each for each, _ in rows[:300]])["numbers"]
    assert errors == np.abs(up - online(Learner(0.01))(numbers, up)).tolist()


def test_an_exported_learner_continues_and_is_exported_again(
    rows: list[tuple[Market, bool]], tmp_path: Path
) -> None:
    """It keeps its rate, and the served predictions change."""
    learner, weights = Learner(0.03), tmp_path / "weights"
    for market, up in rows[:300]:
        learner.learn_one(to_dicts(features([market])["numbers"])[0], up)
    export(learner, tmp_path / "shipped" / "weights")
    file, shipped = tmp_path / "events.jsonl", tmp_path / "shipped" / "weights" / "learner.json"
    file.write_text("".join(labelled(*row) for row in rows[300:360]))
    words = f"--file {file} --state {tmp_path / 'state.json'} --from {shipped}"
    main([*words.split(), "--weights", str(weights)])
    markets = [each for each, _ in rows[360:400]]
    before, after = ElectricityOnline(), ElectricityOnline()
    before.load(shipped.parent)
    after.load(weights)
    for market, up in rows[300:360]:
        learner.learn_one(to_dicts(features([market])["numbers"])[0], up)
    wanted = [learner.predict_proba_one(x)[True] for x in to_dicts(features(markets)["numbers"])]
    new, old = ([each.probability for each in one.predict(markets)] for one in (after, before))
    assert new == pytest.approx(wanted, abs=1e-6)
    assert np.abs(np.array(new) - old).max() > 0.001
    assert json.loads((weights / "learner.json").read_text()) == learner.state()
    # It continues from its state, and exports again if it was killed before the export.
    (weights / "model.onnx").unlink()
    main([*words.split(), "--weights", str(weights)])
    after.load(weights)
    assert [each.probability for each in after.predict(markets)] == new
    with pytest.raises(ValueError, match="state.json holds no learner"):
        main(f"--file {file} --state {tmp_path / 'new'} --from {tmp_path / 'state.json'}".split())


def kill_twice(state: Path, *where: str) -> int:
    """Run a learner, kill it twice in the middle and run it to the end; return the kills."""
    command = [sys.executable, "-m", "pipelines.ml.electricity_online.follow"]
    deaths = 0
    while True:
        before = state.read_bytes() if state.exists() else b""
        process = subprocess.Popen([*command, "--state", str(state), *where], cwd=ROOT)
        if deaths == 2:
            assert process.wait(60) == 0
            return deaths
        while process.poll() is None and (not state.exists() or state.read_bytes() == before):
            time.sleep(0.001)
        # Some events after the state was replaced, so that their effect is lost.
        time.sleep(0.003 * (deaths + 1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it reached the end before it was killed"
        deaths += 1


def test_killed_in_the_middle_it_learns_every_event_once(
    events: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It also counts every alarm once."""
    whole, source = tmp_path / "whole.json", EventFile(events)
    found = follow(source, whole, learner=Learner(0.01))
    assert found.learner.state()["learnt"] == len(lines(events))
    assert f"{found.watch.alarms} alarms in total" in caplog.text
    assert json.loads(whole.read_text())["watch"]["alarms"] == found.watch.alarms > 0
    assert kill_twice(tmp_path / "killed.json", "--file", str(events)) == 2
    assert (tmp_path / "killed.json").read_bytes() == whole.read_bytes()
    # Without new events nothing is learnt.
    follow(source, whole, learner=Learner(0.01))
    assert (tmp_path / "killed.json").read_bytes() == whole.read_bytes()


def test_a_line_without_its_end_is_read_when_complete(events: Path, tmp_path: Path) -> None:
    text = b"".join(lines(events)[:3])
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(text[:-7])
    assert follow(EventFile(file), state, learner=Learner(0.01)).learner.state()["learnt"] == 2
    file.write_bytes(text)
    assert follow(EventFile(file), state, learner=Learner(0.01)).learner.state()["learnt"] == 3


DAMAGED = (b"{", b"[]", b'{"market": {}, "up": true}', b'{"up": true}', b"\xff", b"[" * 100_000)


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: repr(text[:9]))
def test_an_invalid_event_is_skipped_counted_and_logged(
    text: bytes, events: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = lines(events)[:2]
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(good[0] + text + b"\n" + good[1])
    found = follow(EventFile(file), state, learner=Learner(0.01))
    assert f"{file}, byte {len(good[0])}: not a labelled event" in caplog.text
    assert (found.damaged, found.learner.state()["learnt"]) == (1, 2)
    assert json.loads(state.read_text())["damaged"] == 1


def test_a_state_belongs_to_one_source(events: Path, tmp_path: Path) -> None:
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(b"".join(lines(events)[:3]))
    follow(EventFile(file), state, learner=Learner(0.01))
    with pytest.raises(ValueError, match=f"state.json is the state of {file}, not of {events}"):
        follow(EventFile(events), state, learner=Learner(0.01))
    file.write_bytes(lines(events)[0])
    with pytest.raises(ValueError, match="events.jsonl ends before byte"):
        follow(EventFile(file), state, learner=Learner(0.01))
    state.write_text("{}")
    with pytest.raises(ValueError, match="state.json holds no state of a learner"):
        follow(EventFile(file), state, learner=Learner(0.01))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path)
    yield found
    found.kill()


def send_to_topic(address: str, messages: list[bytes]) -> None:
    """Create the topic `prices` with one partition, and send the messages to it."""
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(PRICES, 1, 1)])[PRICES].result(10)
    producer = Producer({"bootstrap.servers": address, "enable.metrics.push": False})
    for each in messages:
        producer.produce(PRICES, each, partition=0)
    assert producer.flush(30) == 0


def test_a_topic_and_a_file_give_the_same_learner(
    events: Path, broker: Broker, tmp_path: Path
) -> None:
    """The learner is killed twice in the middle, and the states are equal to the last byte."""
    whole, killed = tmp_path / "whole.json", tmp_path / "killed.json"
    with broker.running():
        send_to_topic(broker.address, lines(events))
        follow(Topic(broker.address, PRICES), whole, learner=Learner(0.01))
        where = ("--topic", PRICES, "--brokers", broker.address)
        assert kill_twice(killed, *where) == 2
    assert killed.read_bytes() == whole.read_bytes()
    of_file = follow(EventFile(events), tmp_path / "file.json", learner=Learner(0.01))
    state = json.loads(whole.read_text())
    assert json.dumps(state["learner"]) == json.dumps(of_file.learner.state())
    assert (state["place"], state["damaged"], state["missed"]) == (len(lines(events)), 0, 0)


def test_a_damaged_message_does_not_stop_the_stream(
    events: Path, broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = lines(events)[:2]
    with broker.running():
        send_to_topic(broker.address, [good[0], *DAMAGED, good[1]])
        found = follow(
            Topic(broker.address, PRICES), tmp_path / "state.json", learner=Learner(0.01)
        )
    assert (found.damaged, found.learner.state()["learnt"]) == (len(DAMAGED), 2)
    for offset in range(1, len(DAMAGED) + 1):
        assert f"topic {PRICES}, partition 0, offset {offset}: not a labelled event" in caplog.text


def test_an_unreachable_broker_is_retried(events: Path, broker: Broker, tmp_path: Path) -> None:
    """With --stay, the learner also learns from messages that arrive later."""
    state, log = tmp_path / "state.json", tmp_path / "log"
    where = ("--topic", PRICES, "--brokers", broker.address, "--stay")
    command = [sys.executable, "-m", "pipelines.ml.electricity_online.follow", *where]
    with log.open("w") as out:
        process = subprocess.Popen([*command, "--state", str(state)], cwd=ROOT, stderr=out)
    try:
        until(lambda: f"waiting for {broker.address}" in log.read_text())
        assert not state.exists()
        with broker.running():
            send_to_topic(broker.address, lines(events)[:70])
            until(lambda: state.exists() and json.loads(state.read_text())["place"] == 70)
            producer = Producer({"bootstrap.servers": broker.address})
            producer.produce(PRICES, lines(events)[70], partition=0)
            producer.flush(30)
            until(lambda: json.loads(state.read_text())["place"] == 71)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_messages_deleted_before_they_are_read_are_counted_and_logged(
    events: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """librdkafka's mock broker keeps the last 5 MB of a partition."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 2})
    (one,) = producer.list_topics(timeout=10).brokers.values()
    padded = [each + b" " * 200_000 for each in lines(events)[:100]]

    def send(messages: list[bytes]) -> None:
        for each in messages:
            producer.produce(PRICES, each, partition=0)
            # One by one, since the broker deletes whole batches.
            assert producer.flush(30) == 0

    send(padded[:10])
    state, topic = tmp_path / "state.json", Topic(f"{one.host}:{one.port}", PRICES)
    assert follow(topic, state, learner=Learner(0.01)).place == 10
    send(padded[10:])
    found = follow(topic, state, learner=Learner(0.01))
    learnt = found.learner.state()["learnt"]
    assert found.place == 100
    assert 10 < learnt < 50
    assert found.missed == 100 - learnt
    deleted = f"offset 10 to {10 + found.missed - 1}: deleted before they were read"
    assert deleted in caplog.text
    assert json.loads(state.read_text())["missed"] == found.missed
    # A topic that ends before the saved offset is another topic with the same name.
    state.write_text(state.read_text().replace('"place": 100', '"place": 1000'))
    with pytest.raises(ValueError, match="ends at offset 100, before 1000"):
        follow(topic, state, learner=Learner(0.01))
