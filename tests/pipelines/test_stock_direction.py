"""Stock direction: no look-ahead, separated spans, reference indicators, and valid intervals."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pipelines.ml.stock_direction import data, metrics, report, train
from pipelines.ml.stock_direction.model import (
    DAYS,
    NUMBERS,
    History,
    directions,
    ema,
    features,
    rsi,
)
from slipway.contract.graph import OnnxRuntimeGraph
from slipway.datasets import fetch
from slipway.project import find
from slipway.training import LabelledRows

PARAMS = find("stock_direction").params
RATES = {"hit_rate": 0.51, "hit_rate_low": 0.5, "hit_rate_high": 0.53}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    file = fetch("stocks_ohlcv_5").path("stocks.csv.gz")
    return pd.read_csv(file, parse_dates=["Date"])


def walks(rows: int, *, pull: float) -> LabelledRows[History, bool]:
    """Return random walks whose next day reverts the last one with the strength `pull`."""
    rng = np.random.default_rng(0)
    records, labels = [], []
    for _ in range(rows):
        steps = rng.normal(0, 0.02, DAYS)
        tomorrow = rng.normal(0, 0.02) - pull * steps[-1]
        closes = (50 * np.exp(np.cumsum(steps))).tolist()
        records.append(History(closes=closes, volumes=[1e6] * DAYS))
        labels.append(bool(tomorrow > 0))
    return LabelledRows(records, labels)


def test_histories_never_use_later_days(table: pd.DataFrame, tmp_path) -> None:
    """Changes from some day on do not change histories that end before it."""
    border = pd.Timestamp("2008-06-02")
    changed = table.copy()
    late = changed["Date"] >= border
    changed.loc[late, "Adj Close"] *= np.random.default_rng(1).uniform(0.1, 9, late.sum())
    changed.loc[late, "Volume"] *= 7
    found = []
    for name, each in (("as_is", table), ("changed", changed)):
        file = tmp_path / f"{name}.csv.gz"
        each.to_csv(file, index=False)
        found.append(data.labelled_histories(file))
    early = [row for row in found[0] if row[0] < border]
    assert [row[2] for row in found[1][: len(early)]] == [row[2] for row in early]
    labels = [[row[3] for row in each[: len(early)]] for each in found]
    # Only labels of the last day before the border may change: they are about the border's day.
    assert sum(one != other for one, other in zip(*labels, strict=True)) <= 4
    assert early[-1][1] >= border > early[-1][0]


def test_labels_are_about_the_next_day(table: pd.DataFrame) -> None:
    found = data.splits(fetch("stocks_ohlcv_5"), **PARAMS.prepare)
    share = table[table["Ticker"] == "IBM"].sort_values("Date").reset_index(drop=True)
    closes = share["Adj Close"].to_numpy()
    border = int((share["Date"] >= PARAMS.prepare["test_from"]).argmax())
    expected = {
        tuple(closes[end - 3 : end].round(3)): closes[end] > closes[end - 1]
        for end in range(border + 1, border + 60)
    }
    labels = {tuple(np.round(record.closes[-3:], 3)): up for record, up in found["test"]}
    assert all(labels[key] == up for key, up in expected.items())
    # Labels of training rows are known when the test period begins.
    last = [row for row in found["train"] if abs(row[0].closes[-1] - closes[border - 2]) < 1e-3]
    assert last
    assert not [row for row in found["train"] if abs(row[0].closes[-1] - closes[border - 1]) < 1e-3]


def test_spans_are_predicted_from_rows_at_least_two_days_before() -> None:
    parts = train.spans(3000, 6)
    for train_rows, test_rows in parts:
        assert train_rows.max() + train.EMBARGO < test_rows.min()
        assert train_rows.min() == 0
    all_test_rows = np.concatenate([test_rows for _, test_rows in parts])
    assert all_test_rows.tolist() == list(range(1000, 3000))
    # Two days at least, with all five shares on each.
    assert train.EMBARGO // 5 >= 2


def test_a_planted_reversion_is_found_and_noise_is_not(tmp_path) -> None:
    settings = {"weights": tmp_path, "seed": 1, "count": 2}
    found = train.fit(train=walks(1500, pull=1.5), **settings)
    tried = {each.name: each.metrics for each in found.candidates}
    assert tried[found.chosen]["roc_auc"] > 0.75
    assert tried["return_of_today"]["hit_rate_low"] > 0.6
    assert tried["baseline"]["roc_auc"] == 0.5
    assert found.framework_predict(walks(5, pull=0).records)[0].better_than_a_coin
    noise = train.fit(train=walks(1500, pull=0), **settings)
    prediction = noise.framework_predict(walks(5, pull=0).records)[0]
    assert not prediction.better_than_a_coin
    assert prediction.hit_rate_low < 0.5 < prediction.hit_rate_high


def test_indicators_match_reference_formulas() -> None:
    closes = 50 * np.exp(np.random.default_rng(3).normal(0, 0.02, (4, DAYS)).cumsum(axis=1))
    line = pd.Series(closes[0])
    assert ema(closes, 12)[0] == pytest.approx(line.ewm(span=12, adjust=False).mean())
    change = line.diff().dropna()
    gain, loss = (
        (sign * change).clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean().iloc[-1]
        for sign in (1, -1)
    )
    assert rsi(closes)[0] == pytest.approx(1 - 1 / (1 + gain / loss))
    assert rsi(np.arange(1.0, DAYS + 1)[None])[0] == 1
    assert rsi(np.full((1, DAYS), 7.0))[0] == 0.5
    macd = line.ewm(span=12, adjust=False).mean() - line.ewm(span=26, adjust=False).mean()
    record = History(closes=closes[0].tolist(), volumes=list(range(1, DAYS + 1)))
    numbers = dict(zip(NUMBERS, features([record])["numbers"][0], strict=True))
    assert numbers["macd"] == pytest.approx(macd.iloc[-1] / line.iloc[-1], abs=1e-6)
    assert numbers["over_sma_20"] == pytest.approx(line.iloc[-1] / line[-20:].mean() - 1, abs=1e-6)
    assert numbers["return_5"] == pytest.approx(np.log(line.iloc[-1] / line.iloc[-6]), abs=1e-6)
    assert numbers["volume_5_to_20"] == pytest.approx(np.log(58 / 50.5), abs=1e-6)
    scaled = History(closes=(10 * closes[0]).tolist(), volumes=record.volumes)
    assert features([scaled])["numbers"] == pytest.approx(features([record])["numbers"], abs=1e-5)


def test_intervals_are_wider_for_correlated_neighbours() -> None:
    rng = np.random.default_rng(5)
    independent = (rng.random(3000) < 0.5).astype(float)
    correlated = np.repeat(rng.random(100) < 0.5, 30).astype(float)
    narrow, wide = metrics.interval(independent), metrics.interval(correlated)
    assert narrow[1] - narrow[0] == pytest.approx(4 * 0.5 / np.sqrt(3000), rel=0.3)
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])
    best_of_many = metrics.interval(independent, looks=20)
    assert best_of_many[0] < narrow[0] < narrow[1] < best_of_many[1]


def test_the_first_and_last_rows_are_drawn_as_often_as_any() -> None:
    """A fifth are hits, all at the ends; blocks that do not wrap would draw 0.065 on average."""
    hits = np.zeros(400)
    hits[:40] = hits[-40:] = 1
    low, high = metrics.interval(hits, block=80)
    assert low < 0.2 < high - 0.1


def test_always_up_is_right_as_often_as_shares_rise() -> None:
    predictions = directions(np.linspace(0.4, 0.6, 8), RATES)
    figures = report.score(predictions=predictions, labels=[True] * 6 + [False] * 2)
    assert figures["always_up"] == 0.75
    assert "share_up" not in figures


@pytest.mark.parametrize("name", sorted(train.estimators(0).keys() - {"baseline"}))
def test_the_exported_graph_predicts_as_the_fitted_candidate(name: str, tmp_path) -> None:
    known = walks(900, pull=1.5)
    numbers = features(known.records)["numbers"]
    fitted = train.estimators(0)[name].fit(numbers, np.array(known.labels))
    train.export_boosting()
    train.export_onnx(fitted, {"numbers": len(NUMBERS)}, tmp_path)
    served = OnnxRuntimeGraph(tmp_path / "model.onnx").run({"numbers": numbers})["probabilities"]
    assert served == pytest.approx(fitted.predict_proba(numbers), abs=1e-5)


def test_an_interval_that_contains_one_half_is_no_better_than_a_coin() -> None:
    assert not directions(np.array([0.9]), RATES)[0].better_than_a_coin
    assert directions(np.array([0.9]), {**RATES, "hit_rate_low": 0.501})[0].better_than_a_coin


def test_an_invalid_price_is_refused_with_its_day() -> None:
    good = {"closes": [1.0] * DAYS, "volumes": [1.0] * DAYS}
    with pytest.raises(ValidationError, match="day 59 must be above 0"):
        History(**{**good, "closes": [1.0] * 59 + [0.0]})
    with pytest.raises(ValidationError, match="volumes\n.*at least 60"):
        History(**{**good, "volumes": [1.0] * 59})
