"""Power forecast: no look-ahead, disjoint spans, ARIMA as in its library, and coverage."""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandera.errors import SchemaError
from pydantic import ValidationError
from statsmodels.tsa.arima.model import ARIMA

from pipelines.ml.power_forecast import data, forecasters, train
from pipelines.ml.power_forecast.model import (
    AHEAD,
    BACK,
    HOUR,
    NUMBERS,
    History,
    features,
    forecasts,
    logged,
)
from pipelines.ml.power_forecast.prophet_fit import prophet_curve
from pipelines.ml.power_forecast.windows import EPOCH, Windows
from slipway.datasets import fetch
from slipway.project import find

PARAMS = find("power_forecast").params


def windows(values: np.ndarray, *, start: str = "2007-01-01", every: int = 7) -> Windows:
    """Return the windows of a series of kilowatts (hours,)."""
    series = pd.Series(values, pd.date_range(start, periods=len(values), freq="h"))
    records, labels = zip(*data.windows(series, every), strict=True)
    return Windows.from_labelled(list(records), list(labels))


@pytest.fixture(scope="module")
def hours() -> pd.Series:
    return data.hourly(fetch("household_power_1min").path("minute_household_power.csv.xz"))


def test_no_forecast_hour_of_training_is_in_the_test_period(hours: pd.Series) -> None:
    found = data.splits(fetch("household_power_1min"), **PARAMS.shrunk().prepare)
    border = datetime.fromisoformat(PARAMS.prepare["test_from"])
    ends = [
        datetime.strptime(record.first_hour, HOUR) + timedelta(hours=AHEAD)
        for record, _ in found["train"]
    ]
    test = list(found["test"])
    begins = [datetime.strptime(record.first_hour, HOUR) for record, _ in test]
    assert max(ends) <= border == min(begins)
    for (record, label), first in list(zip(test, begins, strict=True))[:40]:
        around = hours[first - timedelta(hours=BACK) : first + timedelta(hours=AHEAD - 1)]
        assert record.kilowatts + label == pytest.approx(around.to_list(), abs=6e-4)


def test_a_window_with_an_unknown_hour_is_left_out() -> None:
    values = np.arange(400.0) % 7
    whole = windows(values, every=1).at
    values[250] = np.nan
    left = windows(values, every=1).at
    touched = {at for at in whole.tolist() if at - BACK <= whole.min() - BACK + 250 < at + AHEAD}
    assert set(whole.tolist()) - set(left.tolist()) == touched
    # Windows that begin after the first 168 hours, and at most 23 hours before the unknown one.
    assert len(touched) == 150


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",17:24:00,4.2", "contains null values"),
        ("16/12/2006,,4.2", "contains null values"),
        ("12/16/2006,17:24:00,4.2", "doesn't match format"),
        ("16/12/2006,17:25:00,4.2", "duplicate values"),
    ],
)
def test_each_minute_has_a_unique_date_and_time(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "minutes.csv"
    known = "Date,Time,Global_active_power\n16/12/2006,17:25:00,5.3\n"
    file.write_text(known)
    assert data.hourly(file).index.tolist() == [pd.Timestamp("2006-12-16 17:00")]
    file.write_text(f"{known}{line}\n")
    with pytest.raises((SchemaError, ValueError), match=message):
        data.hourly(file)


def test_later_hours_change_no_forecast() -> None:
    """They change neither the features of a window nor what a fold's model was fitted on."""
    values = 1 + np.random.default_rng(0).random(24 * 80)
    known = windows(values)
    spans = train.folds(known.at, 2, 14)
    learn, test = spans[0]
    begin = known.at[test].min()
    assert (known.at[learn] + AHEAD).max() <= begin
    assert not (spans[0][1] & spans[1][1]).any()
    late = values.copy()
    late[int(begin - known.at.min()) + BACK :] = 9.0
    changed = windows(late)
    for fit_forecaster in (
        forecasters.prophet_style,
        forecasters.prophet(0),
        forecasters.lags("ridge_lags", 0, 5),
    ):
        first = known.at[test].min() == known.at
        one, other = (
            fit_forecaster(each.where(learn)).forecast(each.where(first))
            for each in (known, changed)
        )
        assert one == pytest.approx(other)


def test_lags_are_the_hours_in_their_names() -> None:
    values = np.exp(np.arange(BACK) / 100)
    numbers = features([History(first_hour="2010-05-01T18:00", kilowatts=values.tolist())])
    table = {name: numbers["numbers"][:, place] for place, name in enumerate(NUMBERS)}
    ahead = np.arange(AHEAD)
    for day in (1, 7):
        assert table[f"days_back_{day}"] == pytest.approx((BACK - 24 * day + ahead) / 100, abs=1e-5)
    assert table["hours_back_2"] == pytest.approx((BACK - 2) / 100)
    assert table["mean_6"] == pytest.approx(np.arange(BACK - 6, BACK).mean() / 100)
    assert table["hour"].tolist() == ((18 + ahead) % 24).tolist()
    # The first of May 2010 was a Saturday, and its weekend has 30 hours left.
    assert table["is_weekend"].all()
    assert table["weekday"].tolist() == [5] * 6 + [6] * 18


def test_a_planted_season_is_found() -> None:
    hour = np.arange(24 * 7 * 12)
    clean = 1 + 0.5 * np.sin(2 * np.pi * hour / 24) + 0.3 * (hour // 24 % 7 >= 5)
    known = windows(clean * np.exp(np.random.default_rng(1).normal(0, 0.02, len(hour))))
    learn, test = train.folds(known.at, 1, 14)[0]
    for fit_forecaster in (
        forecasters.prophet_style,
        forecasters.prophet(0),
        forecasters.lags("boosted_lags", 0, 80),
    ):
        y_pred = fit_forecaster(known.where(learn)).forecast(known.where(test))
        assert np.abs(np.exp(y_pred) - np.exp(known.future[test])).mean() < 0.08
    naive = forecasters.yesterday(known).forecast(known.where(test))
    assert np.abs(np.exp(naive) - np.exp(known.future[test])).mean() > 0.1


def test_prophet_has_two_seasons_of_the_day_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weekends have their own; unknown hours are left out, and two fits are equal."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    hours = np.arange(24 * 7 * 8)
    weekend = (hours // 24 + EPOCH.weekday()) % 7 >= 5
    logs = np.where(weekend, -1, 1) * np.sin(2 * np.pi * hours / 24)
    known = np.where(np.random.default_rng(0).random(len(hours)) < 0.1, np.nan, logs)
    ahead = hours[-1] + 1 + np.arange(24 * 7).reshape(7, 24)
    one, other = (prophet_curve(hours, known, seed=1)(ahead) for _ in range(2))
    assert (one == other).all()
    # The same hours of the week.
    assert one.ravel() == pytest.approx(logs[: 24 * 7], abs=0.1)
    assert not list(tmp_path.iterdir())


def test_arima_forecasts_as_its_library_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The autoregression over 168 hours agrees with the state space model, without a season."""
    rng = np.random.default_rng(2)
    series, shocks = np.zeros(24 * 60), rng.normal(0, 0.2, 24 * 60)
    for place in range(2, len(series)):
        series[place] = 0.7 * series[place - 1] + shocks[place] + 0.4 * shocks[place - 1]
    monkeypatch.setattr(forecasters, "season_model", lambda _: lambda at: np.zeros(at.shape))
    known = windows(np.exp(series), every=1)
    fitted = forecasters.arima(known)
    p, d, q = fitted.parameters["order"]
    assert d == 0
    _, logs = known.series()
    library = ARIMA(logs, order=(p, d, q), trend="n").fit()
    forecast = fitted.forecast(known.where(known.at == known.at[500]))[0]
    expected = library.apply(known.past[500]).forecast(AHEAD)
    assert forecast == pytest.approx(expected, abs=2e-3)
    assert abs(forecast[0]) > 0.01


def test_a_random_walk_is_differenced_once() -> None:
    steps = np.random.default_rng(3).normal(size=600)
    assert forecasters.arima_order(np.cumsum(steps))[1] == 1


def test_intervals_have_their_coverage_at_each_hour() -> None:
    rng = np.random.default_rng(4)
    spread = np.linspace(0.1, 1, 24)
    hour = np.tile(np.arange(24), (800, 1))
    limits = train.bounds(hour[:400], rng.gumbel(0, spread, (400, 24)))
    fresh = rng.gumbel(0, spread, (400, 24))
    inside = (fresh >= limits["low"]) & (fresh <= limits["high"])
    assert inside.mean() == pytest.approx(0.8, abs=0.02)
    assert inside.mean(axis=0) == pytest.approx(np.full(24, 0.8), abs=0.1)
    few = train.bounds(hour[:3], np.arange(72.0).reshape(3, 24))
    assert (few["low"][0], few["high"][0]) == (0.0, 48.0)


def test_an_interval_has_the_width_of_its_hour_of_the_day() -> None:
    record = History(first_hour="2010-05-01T18:00", kilowatts=[1.0] * BACK)
    wide = {"low": [-0.1] * 24, "high": [0.1] * 23 + [2.0]}
    forecast = forecasts([record], np.zeros((1, AHEAD)), wide)[0]
    assert int(np.argmax(forecast.high)) == 5
    assert forecast.high[5] == pytest.approx(np.exp(2))
    assert logged(np.array([0.0])) == pytest.approx(np.log(0.05))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"first_hour": "2010-02-30T18:00"}, "first_hour"),
        ({"first_hour": "9999-12-31T01:00"}, "first_hour"),
        ({"first_hour": "２０１０-05-01T18:00"}, "first_hour"),
        ({"kilowatts": [1.0] * 167}, "at least 168"),
        ({"kilowatts": [1.0] * 100 + [-0.1] + [1.0] * 67}, "hour 100 must be 0 to 20"),
    ],
)
def test_invalid_histories_are_refused(changed: dict, message: str) -> None:
    good = {"first_hour": "2010-05-01T18:00", "kilowatts": [1.0] * BACK}
    History(**good)
    with pytest.raises(ValidationError, match=message):
        History(**{**good, **changed})
