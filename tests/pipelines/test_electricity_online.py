"""Electricity online: nothing is known ahead of its time, and a killed learner learns all once."""

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
from river.drift import ADWIN

from pipelines.ml.electricity_online import data, train
from pipelines.ml.electricity_online.follow import follow
from pipelines.ml.electricity_online.learner import Learner, named
from pipelines.ml.electricity_online.model import DAY, Market, features
from pipelines.ml.electricity_online.source import EventFile
from pipelines.ml.electricity_online.topic import Topic
from slipway.datasets import fetch
from tests.conftest import ROOT
from tests.services.tansu import Broker
from tests.services.zoo import until

PRICES = "prices"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return data.SCHEMA.validate(pd.read_csv(fetch("elec2").path("elec2.csv.gz")))


@pytest.fixture(scope="module")
def rows(table: pd.DataFrame) -> list[tuple[Market, bool]]:
    return list(data.markets(data.streamed(table.head(1_500))))


@pytest.fixture(scope="module")
def events(rows: list[tuple[Market, bool]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("events") / "events.jsonl"
    lines = [json.dumps({"market": each.model_dump(), "up": up}) + "\n" for each, up in rows]
    file.write_text("".join(lines * 3))
    return file


def lines(events: Path) -> list[bytes]:
    return events.read_bytes().splitlines(keepends=True)


def test_a_record_knows_nothing_of_the_half_hour_it_is_asked_about(table: pd.DataFrame) -> None:
    """The published row holds the very price that its label is made of."""
    now = 500
    other = table.head(1_000).copy()
    other.loc[now + 1 :, :] = 1.0
    other["class"] = other["class"].astype(int)
    before, after = data.streamed(table.head(1_000)), data.streamed(other)
    known = before.columns.drop("truth")
    assert before.loc[now, known].equals(after.loc[now, known])
    assert not before.loc[now + 1, known].equals(after.loc[now + 1, known])
    for row in range(DAY, 900):
        assert before.loc[row, "truth"] == (table.loc[row + 1, "class"] == 1)
        assert before.loc[row, "is_up"] == (table.loc[row, "class"] == 1)
    # As the next half hour will be reached, so it was a day before.
    assert before.loc[now, "price_yesterday"] == table.loc[now + 1 - DAY, "nswprice"]
    assert before.loc[now, "price_day"] == pytest.approx(
        table.loc[now - DAY + 1 : now, "nswprice"].mean()
    )


def test_the_trap_of_this_stream_is_as_deep_as_published(table: pd.DataFrame) -> None:
    """85.3 % by saying that nothing changes: Žliobaitė (2013)."""
    frame = data.streamed(table)
    assert (frame["is_up"] == frame["truth"]).mean() == pytest.approx(0.853, abs=0.001)


@pytest.mark.parametrize("name", ["logistic_0.01", "adaptive_tree", "adaptive_forest"])
def test_what_is_told_of_a_half_hour_comes_before_it_is_learnt(
    name: str, rows: list[tuple[Market, bool]]
) -> None:
    numbers = features([each for each, _ in rows[:400]])["numbers"]
    up = np.array([truth for _, truth in rows[:400]])
    turned = np.where(np.arange(400) >= 200, ~up, up)
    one, other = (train.contestants(0, [0.01], 2)[name](numbers, each) for each in (up, turned))
    assert (one[:201] == other[:201]).all()
    assert (one[201:] != other[201:]).any()


def test_batches_learn_from_past_months_alone(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[Market, bool]]
) -> None:
    monkeypatch.setattr(train, "MONTH", 300)
    numbers = features([each for each, _ in rows[:900]])["numbers"]
    up = np.array([truth for _, truth in rows[:900]])
    turned = np.where(np.arange(900) >= 600, ~up, up)
    for name in ("batch_once", "batch_monthly"):
        one, other = (train.contestants(0, [0.01], 1)[name](numbers, each) for each in (up, turned))
        assert (one == other).all()
    earlier = np.where(np.arange(900) < 600, ~up, up)
    monthly = train.contestants(0, [0.01], 1)["batch_monthly"]
    assert (monthly(numbers, up)[600:] != monthly(numbers, earlier)[600:]).any()


def test_a_learner_goes_on_from_its_state_to_the_last_bit(rows: list[tuple[Market, bool]]) -> None:
    inputs = named(features([each for each, _ in rows])["numbers"])
    whole, part = Learner(0.01), Learner(0.01)
    for place, (x, (_, up)) in enumerate(zip(inputs, rows, strict=True)):
        whole.learn_one(x, up)
        part.learn_one(x, up)
        if place % 500 == 99:
            part = Learner.of(json.loads(json.dumps(part.state())))
    assert part.state() == whole.state()
    assert part.predict_proba_one(inputs[0]) == whole.predict_proba_one(inputs[0])


def test_the_scale_folded_in_answers_the_same(rows: list[tuple[Market, bool]]) -> None:
    numbers, learner = features([each for each, _ in rows])["numbers"], Learner(0.01)
    for x, (_, up) in zip(named(numbers), rows, strict=True):
        learner.learn_one(x, up)
    weights, intercept = learner.line()
    told = 1 / (1 + np.exp(-(numbers.astype(float) @ weights + intercept)))
    wanted = [learner.predict_proba_one(x)[True] for x in named(numbers)]
    assert told == pytest.approx(wanted, abs=1e-9)


def killed_again_and_again(state: Path, *where: str) -> int:
    """Runs a learner until it comes to the end; how often it was killed in the middle."""
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
        # Some events after the state was replaced, so that what it learnt since is lost with it.
        time.sleep(0.003 * (deaths + 1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it came to the end before it was killed"
        deaths += 1


def test_killed_in_the_middle_it_learns_every_event_once(events: Path, tmp_path: Path) -> None:
    whole, source = tmp_path / "whole.json", EventFile(events)
    assert follow(source, whole, rate=0.01).learner.state()["learnt"] == len(lines(events))
    assert killed_again_and_again(tmp_path / "killed.json", "--file", str(events)) == 2
    assert (tmp_path / "killed.json").read_bytes() == whole.read_bytes()
    # With nothing new nothing is learnt.
    follow(source, whole, rate=0.01)
    assert (tmp_path / "killed.json").read_bytes() == whole.read_bytes()


def test_a_line_without_its_end_waits_for_it(events: Path, tmp_path: Path) -> None:
    text = b"".join(lines(events)[:3])
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(text[:-7])
    assert follow(EventFile(file), state, rate=0.01).learner.state()["learnt"] == 2
    file.write_bytes(text)
    assert follow(EventFile(file), state, rate=0.01).learner.state()["learnt"] == 3


DAMAGED = (b"{", b"[]", b'{"market": {}, "up": true}', b'{"up": true}', b"\xff", b"[" * 100_000)


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: repr(text[:9]))
def test_what_is_no_event_is_passed_over_counted_and_named(
    text: bytes, events: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = lines(events)[:2]
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(good[0] + text + b"\n" + good[1])
    found = follow(EventFile(file), state, rate=0.01)
    assert f"{file}, byte {len(good[0])}: no labelled event" in caplog.text
    assert (found.damaged, found.learner.state()["learnt"]) == (1, 2)
    assert json.loads(state.read_text())["damaged"] == 1


def test_a_state_is_of_one_source(events: Path, tmp_path: Path) -> None:
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(b"".join(lines(events)[:3]))
    follow(EventFile(file), state, rate=0.01)
    with pytest.raises(ValueError, match=f"state.json is of {file}, not of {events}"):
        follow(EventFile(events), state, rate=0.01)
    file.write_bytes(lines(events)[0])
    with pytest.raises(ValueError, match="events.jsonl ends before byte"):
        follow(EventFile(file), state, rate=0.01)
    state.write_text("{}")
    with pytest.raises(ValueError, match="state.json holds no state of a learner"):
        follow(EventFile(file), state, rate=0.01)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path)
    yield found
    found.kill()


def sent(address: str, messages: list[bytes]) -> None:
    """To the one partition of the topic `prices`, which is made."""
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(PRICES, 1, 1)])[PRICES].result(10)
    producer = Producer({"bootstrap.servers": address, "enable.metrics.push": False})
    for each in messages:
        producer.produce(PRICES, each, partition=0)
    assert producer.flush(30) == 0


def test_from_a_topic_it_learns_what_it_learns_from_a_file(
    events: Path, broker: Broker, tmp_path: Path
) -> None:
    """Killed twice in the middle, to the last byte."""
    whole, killed = tmp_path / "whole.json", tmp_path / "killed.json"
    with broker.running():
        sent(broker.address, lines(events))
        follow(Topic(broker.address, PRICES), whole, rate=0.01)
        where = ("--topic", PRICES, "--brokers", broker.address)
        assert killed_again_and_again(killed, *where) == 2
    assert killed.read_bytes() == whole.read_bytes()
    of_file = follow(EventFile(events), tmp_path / "file.json", rate=0.01)
    told = json.loads(whole.read_text())
    assert json.dumps(told["learner"]) == json.dumps(of_file.learner.state())
    assert (told["place"], told["damaged"], told["missed"]) == (len(lines(events)), 0, 0)


def test_a_damaged_message_does_not_stop_the_stream(
    events: Path, broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = lines(events)[:2]
    with broker.running():
        sent(broker.address, [good[0], *DAMAGED, good[1]])
        found = follow(Topic(broker.address, PRICES), tmp_path / "state.json", rate=0.01)
    assert (found.damaged, found.learner.state()["learnt"]) == (len(DAMAGED), 2)
    for offset in range(1, len(DAMAGED) + 1):
        assert f"topic {PRICES}, partition 0, offset {offset}: no labelled event" in caplog.text


def test_a_broker_that_is_away_is_waited_for(events: Path, broker: Broker, tmp_path: Path) -> None:
    """And who stays learns what comes after the end, without being started again."""
    state, log = tmp_path / "state.json", tmp_path / "log"
    where = ("--topic", PRICES, "--brokers", broker.address, "--stay")
    command = [sys.executable, "-m", "pipelines.ml.electricity_online.follow", *where]
    with log.open("w") as out:
        process = subprocess.Popen([*command, "--state", str(state)], cwd=ROOT, stderr=out)
    try:
        until(lambda: f"{broker.address} is waited for" in log.read_text())
        assert not state.exists()
        with broker.running():
            sent(broker.address, lines(events)[:70])
            until(lambda: state.exists() and json.loads(state.read_text())["place"] == 70)
            producer = Producer({"bootstrap.servers": broker.address})
            producer.produce(PRICES, lines(events)[70], partition=0)
            producer.flush(30)
            until(lambda: json.loads(state.read_text())["place"] == 71)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_messages_deleted_before_they_are_read_are_told_of(
    events: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """librdkafka's own broker for tests keeps the last 5 MB of a partition."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 2})
    (one,) = producer.list_topics(timeout=10).brokers.values()
    padded = [each + b" " * 200_000 for each in lines(events)[:100]]

    def send(messages: list[bytes]) -> None:
        for each in messages:
            producer.produce(PRICES, each, partition=0)
            # One by one: what it deletes is whole batches.
            assert producer.flush(30) == 0

    send(padded[:10])
    state, topic = tmp_path / "state.json", Topic(f"{one.host}:{one.port}", PRICES)
    assert follow(topic, state, rate=0.01).place == 10
    send(padded[10:])
    found = follow(topic, state, rate=0.01)
    learnt = found.learner.state()["learnt"]
    assert found.place == 100
    assert 10 < learnt < 50
    assert found.missed == 100 - learnt
    deleted = f"offset 10 to {10 + found.missed - 1}: deleted before they were read"
    assert deleted in caplog.text
    assert json.loads(state.read_text())["missed"] == found.missed
    # A topic that ends before the place is another one of that name.
    state.write_text(state.read_text().replace('"place": 100', '"place": 1000'))
    with pytest.raises(ValueError, match="ends at offset 100, before 1000"):
        follow(topic, state, rate=0.01)


def test_drifts_are_where_they_are_planted() -> None:
    rng = np.random.default_rng(0)
    errors = rng.beta(1, 6, 5_000)
    for kind, shift in (("none", 0.0), ("sudden", 0.3), ("gradual", 0.15)):
        made = np.mean([train.planted(errors, kind, 2_000, rng) for _ in range(10)], axis=0)
        # A turned label makes 1 - e of an error e, whose mean is 1/7.
        assert made[1_000:].mean() - made[:1_000].mean() == pytest.approx(shift * 5 / 7, abs=0.02)
    found = train.alarms(ADWIN(), train.planted(errors, "sudden", 2_000, rng))
    assert len(found[found < 1_000]) == 0
    assert 1_000 < found[0] < 1_200
