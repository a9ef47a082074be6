"""Electricity online: features without leakage, learners, exact states and drift detection."""

import json

import numpy as np
import pandas as pd
import pytest
from river.drift import ADWIN
from sklearn.metrics import roc_auc_score

from pipelines.ml.electricity_online import data, report, train
from pipelines.ml.electricity_online.learner import Learner, to_dicts
from pipelines.ml.electricity_online.model import (
    DAY,
    LEAST,
    NUMBERS,
    Market,
    features,
)
from pipelines.ml.electricity_online.watch import Watch
from pipelines.ml.electricity_online.window import HalfHour, Window
from tests.pipelines.electricity_stream import half_hours_of, labelled_markets, published_table


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return published_table()


@pytest.fixture(scope="module")
def rows(table: pd.DataFrame) -> list[tuple[Market, bool]]:
    return labelled_markets(table)


@pytest.fixture(scope="module")
def half_hours(table: pd.DataFrame) -> list[HalfHour]:
    return half_hours_of(table)


def test_a_record_contains_nothing_from_the_half_hour_to_predict(table: pd.DataFrame) -> None:
    """A published row contains the price from which its label is computed."""
    now = 500
    other = table.head(1_000).copy()
    other.loc[now + 1 :, :] = 1.0
    other["class"] = other["class"].astype(int)
    before, after = data.stream_rows(table.head(1_000)), data.stream_rows(other)
    known = before.columns.drop("label")
    assert before.loc[now, known].equals(after.loc[now, known])
    assert not before.loc[now + 1, known].equals(after.loc[now + 1, known])
    for row in range(DAY, 900):
        assert before.loc[row, "label"] == (table.loc[row + 1, "class"] == 1)
        assert before.loc[row, "is_up"] == (table.loc[row, "class"] == 1)
    # `price_yesterday` is the price one day before the half hour to predict.
    assert before.loc[now, "price_yesterday"] == table.loc[now + 1 - DAY, "nswprice"]
    assert before.loc[now, "price_day"] == pytest.approx(
        table.loc[now - DAY + 1 : now, "nswprice"].mean()
    )


def test_a_window_of_half_hours_gives_the_same_markets_as_the_table(
    half_hours: list[HalfHour], rows: list[tuple[Market, bool]]
) -> None:
    window, markets = Window([]), []
    for each in half_hours:
        window.append(each)
        markets.append(window.market())
    assert markets[: DAY - 1] == [None] * (DAY - 1)
    # The last row of the table has no label yet.
    for one, (other, _) in zip(markets[DAY - 1 : -1], rows, strict=True):
        assert one is not None
        assert one.price_day == pytest.approx(other.price_day, abs=1e-12)
        assert one == other.model_copy(update={"price_day": one.price_day})


def test_a_watch_continues_exactly_from_its_state() -> None:
    rng = np.random.default_rng(0)
    errors = np.concatenate([rng.beta(1, 6, 2_000), rng.beta(3, 2, 2_000)]).tolist()
    whole, part, alarms = Watch(), Watch(), []
    for place, each in enumerate(errors):
        alarms.append(whole.detects_drift(each))
        assert part.detects_drift(each) == alarms[-1]
        if place % 100 == 63:
            part = Watch.from_state(json.loads(json.dumps(part.state())))
    assert part.state() == whole.state()
    assert whole.alarms == sum(alarms) > 0
    assert np.flatnonzero(alarms).tolist() == report.alarms(ADWIN(), np.array(errors)).tolist()


@pytest.mark.parametrize("state", ["price", "vic_price"])
def test_features_use_ratios_of_prices(state: str, rows: list[tuple[Market, bool]]) -> None:
    market, _ = rows[0]
    for price in (0.01, 0.4):
        doubled = [market.model_copy(update={state: each}) for each in (price, 2 * price + LEAST)]
        one, other = features(doubled)["numbers"][:, NUMBERS.index(f"log_{state}")]
        assert other - one == pytest.approx(np.log(2), abs=1e-6)


def test_no_change_is_as_accurate_as_published(table: pd.DataFrame) -> None:
    """Predicting no change is right in 85.3 %: Žliobaitė (2013)."""
    frame = data.stream_rows(table)
    assert (frame["is_up"] == frame["label"]).mean() == pytest.approx(0.853, abs=0.001)


@pytest.mark.parametrize("name", ["logistic_0.01", "adaptive_tree", "adaptive_forest"])
def test_a_half_hour_is_predicted_before_it_is_learnt(
    name: str, rows: list[tuple[Market, bool]]
) -> None:
    numbers = features([each for each, _ in rows[:400]])["numbers"]
    up = np.array([label for _, label in rows[:400]])
    turned = np.where(np.arange(400) >= 200, ~up, up)
    one, other = (train.predictors(0, [0.01], 2)[name](numbers, each) for each in (up, turned))
    assert (one[:201] == other[:201]).all()
    assert (one[201:] != other[201:]).any()


def test_the_smallest_rate_comes_first() -> None:
    names = list(train.predictors(0, [0.03, 0.003, 0.01], 1))
    assert names[1:4] == ["logistic_0.003", "logistic_0.01", "logistic_0.03"]


def test_the_standard_error_of_roc_auc_counts_whole_days() -> None:
    """A day of equal predictions and labels counts once."""
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
    up = np.array([label for _, label in rows[:900]])
    turned = np.where(np.arange(900) >= 600, ~up, up)
    for name in ("batch_once", "batch_monthly"):
        one, other = (train.predictors(0, [0.01], 1)[name](numbers, each) for each in (up, turned))
        assert (one == other).all()
    earlier = np.where(np.arange(900) < 600, ~up, up)
    monthly = train.predictors(0, [0.01], 1)["batch_monthly"]
    assert (monthly(numbers, up)[600:] != monthly(numbers, earlier)[600:]).any()


def test_a_learner_continues_exactly_from_its_state(rows: list[tuple[Market, bool]]) -> None:
    inputs = to_dicts(features([each for each, _ in rows])["numbers"])
    whole, part = Learner(0.01), Learner(0.01)
    for place, (x, (_, up)) in enumerate(zip(inputs, rows, strict=True)):
        whole.learn_one(x, up)
        part.learn_one(x, up)
        if place % 500 == 99:
            part = Learner.from_state(json.loads(json.dumps(part.state())))
    assert part.state() == whole.state()
    assert part.predict_proba_one(inputs[0]) == whole.predict_proba_one(inputs[0])


def test_weights_for_unscaled_inputs_predict_the_same(rows: list[tuple[Market, bool]]) -> None:
    numbers, learner = features([each for each, _ in rows])["numbers"], Learner(0.01)
    for x, (_, up) in zip(to_dicts(numbers), rows, strict=True):
        learner.learn_one(x, up)
    weights, intercept = learner.line()
    y_prob = 1 / (1 + np.exp(-(numbers.astype(float) @ weights + intercept)))
    wanted = [learner.predict_proba_one(x)[True] for x in to_dicts(numbers)]
    assert y_prob == pytest.approx(wanted, abs=1e-9)


def test_drifts_are_planted_in_the_second_half() -> None:
    rng = np.random.default_rng(0)
    errors = rng.beta(1, 6, 5_000)
    for kind, shift in (("none", 0.0), ("sudden", 0.3), ("gradual", 0.15)):
        made = np.mean([report.plant_drift(errors, kind, 2_000, rng) for _ in range(10)], axis=0)
        # A flipped label turns an error e into 1 - e; the mean of e is 1/7.
        assert made[1_000:].mean() - made[:1_000].mean() == pytest.approx(shift * 5 / 7, abs=0.02)
    found = report.alarms(ADWIN(), report.plant_drift(errors, "sudden", 2_000, rng))
    assert len(found[found < 1_000]) == 0
    assert 1_000 < found[0] < 1_200
