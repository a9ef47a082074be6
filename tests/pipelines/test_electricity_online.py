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
from sklearn.metrics import roc_auc_score

from pipelines.ml.electricity_online import data, report, train
from pipelines.ml.electricity_online.export import export
from pipelines.ml.electricity_online.follow import follow, main
from pipelines.ml.electricity_online.learner import Learner, named
from pipelines.ml.electricity_online.model import (
    DAY,
    LEAST,
    NUMBERS,
    ElectricityOnline,
    Market,
    features,
)
from pipelines.ml.electricity_online.prequential import online
from pipelines.ml.electricity_online.source import EventFile
from pipelines.ml.electricity_online.topic import Topic
from pipelines.ml.electricity_online.watch import Watch
from pipelines.ml.electricity_online.window import HalfHour, Window
from slipway.datasets import fetch
from tests.conftest import ROOT
from tests.services.tansu import Broker
from tests.waiting import until

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
    lines = [labelled(*row) for row in rows]
    # Turned round in between: its error drifts.
    turned = [labelled(each, not up) for each, up in rows]
    file.write_text("".join(lines + turned + lines))
    return file


def labelled(market: Market, up: bool) -> str:
    return json.dumps({"market": market.model_dump(), "up": up}) + "\n"


@pytest.fixture(scope="module")
def half_hours(table: pd.DataFrame) -> list[HalfHour]:
    """Of the same rows as `rows`: these begin a day before them."""
    return [
        HalfHour(
            half_hour=place % DAY,
            weekday=(place // DAY + data.FIRST_WEEKDAY) % 7,
            price=row["nswprice"],
            demand=row["nswdemand"],
            vic_price=row["vicprice"],
            vic_demand=row["vicdemand"],
            transfer=row["transfer"],
            up=row["class"] == 1,
        )
        for place, row in enumerate(table.head(1_500).to_dict("records"))
    ][1:]


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


def test_a_window_of_half_hours_tells_what_the_table_does(
    half_hours: list[HalfHour], rows: list[tuple[Market, bool]]
) -> None:
    window, told = Window([]), []
    for each in half_hours:
        window.take(each)
        told.append(window.market())
    assert told[: DAY - 1] == [None] * (DAY - 1)
    # The last one of the table has no truth yet.
    for one, (other, _) in zip(told[DAY - 1 : -1], rows, strict=True):
        assert one is not None
        assert one.price_day == pytest.approx(other.price_day, abs=1e-12)
        assert one == other.model_copy(update={"price_day": one.price_day})


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


def test_where_a_half_hour_is_missing_a_day_is_gathered(
    half_hours: list[HalfHour], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Stopped in the middle of a day too, of which the state keeps what was gathered."""
    lines = [each.model_dump_json() + "\n" for each in half_hours[:200]]
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    for end in (20, 90, 199):
        file.write_text("".join((lines[:100] + lines[101:])[:end]))
        found = follow(EventFile(file), state, learner=Learner(0.01))
    assert found.learner.state()["learnt"] == (100 - DAY) + (99 - DAY)
    assert caplog.text.count("follows no half hour") == 2


def test_the_watch_is_told_the_error_made_before_learning(
    rows: list[tuple[Market, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(Watch, "speaks", lambda self, error: told.append(error))
    file = tmp_path / "events.jsonl"
    file.write_text("".join(labelled(*row) for row in rows[:300]))
    follow(EventFile(file), tmp_path / "state.json", learner=Learner(0.01))
    up = np.array([truth for _, truth in rows[:300]])
    numbers = features([each for each, _ in rows[:300]])["numbers"]
    assert told == np.abs(up - online(Learner(0.01))(numbers, up)).tolist()


def test_a_watch_goes_on_from_its_state_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    errors = np.concatenate([rng.beta(1, 6, 2_000), rng.beta(3, 2, 2_000)]).tolist()
    whole, part, spoke = Watch(), Watch(), []
    for place, each in enumerate(errors):
        spoke.append(whole.speaks(each))
        assert part.speaks(each) == spoke[-1]
        if place % 100 == 63:
            part = Watch.of(json.loads(json.dumps(part.state())))
    assert part.state() == whole.state()
    assert whole.alarms == sum(spoke) > 0
    assert np.flatnonzero(spoke).tolist() == report.alarms(ADWIN(), np.array(errors)).tolist()


def test_what_was_shipped_goes_on_and_is_shipped_again(
    rows: list[tuple[Market, bool]], tmp_path: Path
) -> None:
    """Its rate too, and what is served of it answers otherwise than before."""
    learner, weights = Learner(0.03), tmp_path / "weights"
    for market, up in rows[:300]:
        learner.learn_one(named(features([market])["numbers"])[0], up)
    export(learner, tmp_path / "shipped" / "weights")
    file, shipped = tmp_path / "events.jsonl", tmp_path / "shipped" / "weights" / "learner.json"
    file.write_text("".join(labelled(*row) for row in rows[300:360]))
    words = f"--file {file} --state {tmp_path / 'state.json'} --from {shipped}"
    main([*words.split(), "--weights", str(weights)])
    asked = [each for each, _ in rows[360:400]]
    before, after = ElectricityOnline(), ElectricityOnline()
    before.load(shipped.parent)
    after.load(weights)
    for market, up in rows[300:360]:
        learner.learn_one(named(features([market])["numbers"])[0], up)
    wanted = [learner.predict_proba_one(x)[True] for x in named(features(asked)["numbers"])]
    told, old = ([each.probability for each in one.predict(asked)] for one in (after, before))
    assert told == pytest.approx(wanted, abs=1e-6)
    assert np.abs(np.array(told) - old).max() > 0.001
    assert json.loads((weights / "learner.json").read_text()) == learner.state()
    # From its state it goes on, not from the beginning again; killed before it shipped, it ships.
    (weights / "model.onnx").unlink()
    main([*words.split(), "--weights", str(weights)])
    after.load(weights)
    assert [each.probability for each in after.predict(asked)] == told
    with pytest.raises(ValueError, match="state.json holds no learner"):
        main(f"--file {file} --state {tmp_path / 'new'} --from {tmp_path / 'state.json'}".split())


@pytest.mark.parametrize("state", ["price", "vic_price"])
def test_prices_count_by_their_ratios(state: str, rows: list[tuple[Market, bool]]) -> None:
    market, _ = rows[0]
    for price in (0.01, 0.4):
        doubled = [market.model_copy(update={state: each}) for each in (price, 2 * price + LEAST)]
        one, other = features(doubled)["numbers"][:, NUMBERS.index(f"log_{state}")]
        assert other - one == pytest.approx(np.log(2), abs=1e-6)


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


def test_the_smallest_rate_comes_first() -> None:
    names = list(train.contestants(0, [0.03, 0.003, 0.01], 1))
    assert names[1:4] == ["logistic_0.003", "logistic_0.01", "logistic_0.03"]


def test_the_error_of_roc_auc_is_that_of_whole_days() -> None:
    """Where every half hour of a day has the same prediction and label, a day counts once."""
    rng = np.random.default_rng(0)
    up = rng.random(200) < 0.5
    y_prob = (up + rng.normal(size=200)).round(1)  # rounded: some are equal
    days = train.roc_auc_error(np.repeat(up, DAY), np.repeat(y_prob, DAY), 1)
    drawn = np.random.default_rng(1).integers(0, 200, (200, 200))
    areas = [roc_auc_score(up[rows], y_prob[rows]) for rows in drawn]
    assert days == pytest.approx(np.std(areas, ddof=1))
    half_hours = train.roc_auc_error(np.tile(up, DAY), np.tile(y_prob, DAY), 1)
    assert half_hours < days / 4


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


def test_killed_in_the_middle_it_learns_every_event_once(
    events: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And counts every alarm once."""
    whole, source = tmp_path / "whole.json", EventFile(events)
    found = follow(source, whole, learner=Learner(0.01))
    assert found.learner.state()["learnt"] == len(lines(events))
    assert f"{found.watch.alarms} alarms in all" in caplog.text
    assert json.loads(whole.read_text())["watch"]["alarms"] == found.watch.alarms > 0
    assert killed_again_and_again(tmp_path / "killed.json", "--file", str(events)) == 2
    assert (tmp_path / "killed.json").read_bytes() == whole.read_bytes()
    # With nothing new nothing is learnt.
    follow(source, whole, learner=Learner(0.01))
    assert (tmp_path / "killed.json").read_bytes() == whole.read_bytes()


def test_a_line_without_its_end_waits_for_it(events: Path, tmp_path: Path) -> None:
    text = b"".join(lines(events)[:3])
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(text[:-7])
    assert follow(EventFile(file), state, learner=Learner(0.01)).learner.state()["learnt"] == 2
    file.write_bytes(text)
    assert follow(EventFile(file), state, learner=Learner(0.01)).learner.state()["learnt"] == 3


DAMAGED = (b"{", b"[]", b'{"market": {}, "up": true}', b'{"up": true}', b"\xff", b"[" * 100_000)


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: repr(text[:9]))
def test_what_is_no_event_is_passed_over_counted_and_named(
    text: bytes, events: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = lines(events)[:2]
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(good[0] + text + b"\n" + good[1])
    found = follow(EventFile(file), state, learner=Learner(0.01))
    assert f"{file}, byte {len(good[0])}: no labelled event" in caplog.text
    assert (found.damaged, found.learner.state()["learnt"]) == (1, 2)
    assert json.loads(state.read_text())["damaged"] == 1


def test_a_state_is_of_one_source(events: Path, tmp_path: Path) -> None:
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_bytes(b"".join(lines(events)[:3]))
    follow(EventFile(file), state, learner=Learner(0.01))
    with pytest.raises(ValueError, match=f"state.json is of {file}, not of {events}"):
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
        follow(Topic(broker.address, PRICES), whole, learner=Learner(0.01))
        where = ("--topic", PRICES, "--brokers", broker.address)
        assert killed_again_and_again(killed, *where) == 2
    assert killed.read_bytes() == whole.read_bytes()
    of_file = follow(EventFile(events), tmp_path / "file.json", learner=Learner(0.01))
    told = json.loads(whole.read_text())
    assert json.dumps(told["learner"]) == json.dumps(of_file.learner.state())
    assert (told["place"], told["damaged"], told["missed"]) == (len(lines(events)), 0, 0)


def test_a_damaged_message_does_not_stop_the_stream(
    events: Path, broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = lines(events)[:2]
    with broker.running():
        sent(broker.address, [good[0], *DAMAGED, good[1]])
        found = follow(
            Topic(broker.address, PRICES), tmp_path / "state.json", learner=Learner(0.01)
        )
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
    # A topic that ends before the place is another one of that name.
    state.write_text(state.read_text().replace('"place": 100', '"place": 1000'))
    with pytest.raises(ValueError, match="ends at offset 100, before 1000"):
        follow(topic, state, learner=Learner(0.01))


def test_drifts_are_where_they_are_planted() -> None:
    rng = np.random.default_rng(0)
    errors = rng.beta(1, 6, 5_000)
    for kind, shift in (("none", 0.0), ("sudden", 0.3), ("gradual", 0.15)):
        made = np.mean([report.planted(errors, kind, 2_000, rng) for _ in range(10)], axis=0)
        # A turned label makes 1 - e of an error e, whose mean is 1/7.
        assert made[1_000:].mean() - made[:1_000].mean() == pytest.approx(shift * 5 / 7, abs=0.02)
    found = report.alarms(ADWIN(), report.planted(errors, "sudden", 2_000, rng))
    assert len(found[found < 1_000]) == 0
    assert 1_000 < found[0] < 1_200
