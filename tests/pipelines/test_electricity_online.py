"""Electricity online: nothing is known ahead of its time, and a killed learner learns all once."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from river.drift import ADWIN

from pipelines.ml.electricity_online import data, train
from pipelines.ml.electricity_online.learner import Learner, follow, named
from pipelines.ml.electricity_online.model import DAY, Market, features
from slipway.datasets import fetch
from tests.conftest import ROOT


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


def killed_again_and_again(events: Path, state: Path) -> int:
    """Runs a learner until it comes to the end; how often it was killed in the middle."""
    command = [sys.executable, "-m", "pipelines.ml.electricity_online.learner", events, state]
    deaths = 0
    while True:
        before = state.read_bytes() if state.exists() else b""
        process = subprocess.Popen([str(word) for word in command], cwd=ROOT)
        if deaths == 3:
            assert process.wait(60) == 0
            return deaths
        while process.poll() is None and (not state.exists() or state.read_bytes() == before):
            time.sleep(0.001)
        # Some events after the state was replaced, so that what it learnt since is lost with it.
        time.sleep(0.003 * (deaths + 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert json.loads(state.read_text())["place"] < events.stat().st_size
        deaths += 1


def test_killed_in_the_middle_it_learns_every_event_once(events: Path, tmp_path: Path) -> None:
    whole = follow(events, tmp_path / "whole.json", rate=0.01, every=50)
    assert killed_again_and_again(events, tmp_path / "killed.json") == 3
    assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert whole.state()["learnt"] == len(events.read_text().splitlines())
    # With nothing new nothing is learnt.
    follow(events, tmp_path / "whole.json", rate=0.01, every=50)
    assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_a_line_without_its_end_waits_for_it(events: Path, tmp_path: Path) -> None:
    lines = events.read_text().splitlines(keepends=True)[:3]
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_text("".join(lines)[:-7])
    assert follow(file, state, rate=0.01, every=1).state()["learnt"] == 2
    file.write_text("".join(lines))
    assert follow(file, state, rate=0.01, every=1).state()["learnt"] == 3


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"market": {}, "up": true}', '{"up": true}', "not json"]
)
def test_what_is_no_event_is_refused_by_its_place(line: str, events: Path, tmp_path: Path) -> None:
    good = events.read_text().splitlines(keepends=True)[0]
    file, state = tmp_path / "events.jsonl", tmp_path / "state.json"
    file.write_text(good + line + "\n")
    with pytest.raises(ValueError, match=f"byte {len(good)}: no labelled event"):
        follow(file, state, rate=0.01, every=100)
    assert json.loads(state.read_text())["place"] == len(good)


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
