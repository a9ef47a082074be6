"""Store sales: records contain nothing after the origin, and intervals have their coverage."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pipelines.ml.store_sales import data, forecasters, metrics, train
from pipelines.ml.store_sales.days import Days, concatenate
from pipelines.ml.store_sales.model import (
    AHEAD,
    ALIKE,
    BACK,
    LEVEL,
    NUMBERS,
    SPREAD,
    WEEKS,
    Plan,
    features,
    forecasts,
)
from pipelines.ml.store_sales.prophet_fit import prophet
from slipway.datasets import fetch

FILE = "rossmann_store_sales.parquet"
BORDER = "2015-06-14"
Split = Callable[[pd.DataFrame], dict[str, list[tuple[Plan, list[int]]]]]
KNOWN_AHEAD = {"is_open", "promo", "school_holiday", "state_holiday"}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    whole = pd.read_parquet(fetch("rossmann_store_sales").path(FILE))
    return whole[whole["Store"] <= 6].copy()


@pytest.fixture
def split(table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Split:
    """Return a function that applies `data.splits` to a table instead of the file."""

    def split_table(frame: pd.DataFrame) -> dict[str, list[tuple[Plan, list[int]]]]:
        monkeypatch.setattr(pd, "read_parquet", lambda _, columns: frame[columns])
        found = data.splits(fetch("rossmann_store_sales"), test_from=BORDER, origins=3)
        return {name: list(rows) for name, rows in found.items()}

    return split_table


def test_sales_from_the_origin_on_change_no_plan(table: pd.DataFrame, split: Split) -> None:
    other = table.copy()
    late = other["Date"] >= BORDER
    other.loc[late, "Sales"] = 7
    before, after = split(table), split(other)
    assert [plan for plan, _ in before["test"]] == [plan for plan, _ in after["test"]]
    assert [sold for _, sold in before["test"]] != [sold for _, sold in after["test"]]
    assert before["train"] == after["train"]


def test_the_number_of_customers_is_not_used(table: pd.DataFrame, split: Split) -> None:
    assert "Customers" in table
    assert "Customers" not in data.SCHEMA.columns
    assert split(table) == split(table.assign(Customers=1))


def test_no_day_is_in_two_plans_and_no_test_day_in_training(
    split: Split, table: pd.DataFrame
) -> None:
    found = split(table)
    days = [
        (plan.store, date.fromisoformat(plan.first_day).toordinal() + ahead)
        for rows in found.values()
        for plan, sold in rows
        for ahead in range(len(sold))
    ]
    assert len(set(days)) == len(days)
    border = date.fromisoformat(BORDER).toordinal()
    trained = [date.fromisoformat(plan.first_day).toordinal() + AHEAD for plan, _ in found["train"]]
    assert max(trained) == border


def test_a_plan_contains_the_sales_of_the_half_year_before(
    split: Split, table: pd.DataFrame
) -> None:
    rows = table.set_index(["Store", "Date"])["Sales"]
    for plan, sold in split(table)["test"]:
        first = pd.Timestamp(plan.first_day)
        own_sales = rows[plan.store].reindex(
            pd.date_range(first - pd.Timedelta(days=BACK), periods=BACK + AHEAD), fill_value=0
        )
        assert plan.sales_before + sold == own_sales.to_list()


def test_a_future_competitor_is_not_known() -> None:
    about = pd.Series({"CompetitionDistance": 500.0, "CompetitionOpenSinceYear": 2015.0,
                       "CompetitionOpenSinceMonth": 6.0})  # fmt: skip
    assert data.competitor(about, date(2015, 5, 31))["competitor_km"] is None
    assert data.competitor(about, date(2015, 8, 1)) == {
        "competitor_km": 0.5,
        "competitor_months": 2.0,
    }


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return a store that sells 1000 a day, twice as much with a promotion, none on Sundays."""
    first = date(2015, 6, 15).toordinal()
    promo = [(first - BACK + day) // 7 % 2 for day in range(BACK + AHEAD)]
    sales = [0 if (first - BACK + day) % 7 == 0 else 1000 * (1 + promo[day]) for day in range(BACK)]
    return Plan(
        store=1,
        kind="a",
        assortment="a",
        sales_before=sales,
        promo_before="".join(map(str, promo[:BACK])),
        first_day="2015-06-15",
        is_open="".join(str(int((first + day) % 7 != 0)) for day in range(AHEAD)),
        promo="".join(map(str, promo[BACK:])),
        school_holiday="0" * AHEAD,
        state_holiday="0" * AHEAD,
    )


def test_the_baseline_is_the_mean_of_similar_days(plan: Plan) -> None:
    numbers = features([plan])["numbers"]
    baseline = np.exp(numbers[:, LEVEL] + numbers[:, ALIKE])
    promo = numbers[:, NUMBERS.index("promo")] == 1
    assert baseline[promo] == pytest.approx(2000, rel=0.06)
    assert baseline[~promo] == pytest.approx(1000, rel=0.06)
    assert numbers[0, NUMBERS.index("promo_effect")] == pytest.approx(np.log(2), abs=0.05)
    assert set(numbers[:, NUMBERS.index("weekday")]) == set(range(6))
    # Mondays come after a closed day and Saturdays before one.
    for weekday, name in ((0, "closed_before"), (5, "closed_after")):
        at = numbers[:, NUMBERS.index("weekday")] == weekday
        inside = at & (numbers[:, 0] < AHEAD - 2)
        assert (numbers[inside, NUMBERS.index(name)] == 1).all()


def test_features_of_a_day_do_not_depend_on_the_end_of_the_plan(plan: Plan) -> None:
    """A shortened plan has the same features; the day after its last one, a Friday, is open."""
    whole = features([plan])["numbers"]
    short = plan.model_copy(update={name: getattr(plan, name)[:18] for name in KNOWN_AHEAD})
    cut = features([short])["numbers"]
    assert (cut == whole[: len(cut)]).all()
    both = features([short, plan])["numbers"]
    assert (both == np.vstack([cut, whole])).all()


def test_closed_days_sell_nothing_and_open_days_keep_their_position(plan: Plan) -> None:
    numbers = features([plan])["numbers"]
    limits = {"low": [-1.0] * WEEKS, "high": [1.0] * WEEKS}
    relative = np.linspace(0, 1, len(numbers))
    (forecast,) = forecasts([plan], numbers, relative, limits)
    opened = np.array([each == "1" for each in plan.is_open])
    assert (np.array(forecast.sales)[~opened] == 0).all()
    assert np.log(np.array(forecast.sales)[opened]) - numbers[:, LEVEL] == pytest.approx(relative)
    width = np.log(np.array(forecast.high)[opened] / np.array(forecast.low)[opened])
    assert width == pytest.approx(2 * numbers[:, SPREAD])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("promo", "01", "promo must have a letter for each of the 48 days"),
        ("sales_before", [0] * BACK, "must hold 12 open days or more, got 0"),
        ("sales_before", [-1] * BACK, "must be 0 to 100000 each"),
        ("first_day", "2015-02-30", "day is out of range"),
    ],
)
def test_an_invalid_plan_is_refused(plan: Plan, field: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as error:
        Plan.model_validate({**plan.model_dump(), field: value})
    assert error.value.errors()[0]["loc"] == (field,)


def days(count: int, *, seed: int = 0) -> Days:
    """Return random days of stores with more and less volatility."""
    rng = np.random.default_rng(seed)
    numbers = np.zeros((count, len(NUMBERS)))
    numbers[:, 0] = rng.integers(0, AHEAD, count)
    numbers[:, SPREAD] = rng.uniform(0.05, 0.3, count)
    logs = rng.standard_normal(count) * numbers[:, SPREAD]
    return Days(numbers, logs, np.ones(count, dtype=int), np.zeros(count, dtype=int))


def test_intervals_have_their_coverage() -> None:
    learn, fresh = days(20_000), days(20_000, seed=1)
    limits = train.bounds(learn, np.zeros(20_000))
    assert train.coverage(fresh, np.zeros(20_000), limits) == pytest.approx(0.8, abs=0.01)
    assert limits["high"] == pytest.approx([1.28] * WEEKS, abs=0.1)


def test_a_fold_is_forecast_from_earlier_sales(split: Split, table: pd.DataFrame) -> None:
    """ARIMA learns from days before the origin, and its forecasts scale with the store's sales."""
    plans, labels = zip(*split(table)["train"], strict=True)
    known = Days.from_plans(list(plans), list(labels))
    origin = known.origin.max()
    known = known.where(known.store == 1)
    learn, test = known.where(known.date < origin), known.where(known.origin == origin)
    assert learn.date.max() < origin <= test.date.min()
    y_pred, orders = forecasters.arima(learn, test)
    assert metrics.forecast_errors(test.logs, y_pred)["rmspe"] < 0.3
    assert orders["store_1"] in {
        f"{p},{d},{q}" for p, q in ((1, 0), (2, 0), (1, 1)) for d in (0, 1)
    }
    doubled = Days(learn.numbers, learn.logs + np.log(2), learn.store, learn.origin)
    assert np.median(forecasters.arima(doubled, test)[0] - y_pred) == pytest.approx(
        np.log(2), abs=0.1
    )


def store_days(first: int, count: int, *, store: int) -> Days:
    """Return days from the ordinal `first` on, with a planted week and effect of promotions."""
    day = first + np.arange(count)
    numbers = np.zeros((count, len(NUMBERS)))
    numbers[:, NUMBERS.index("promo")] = day // 7 % 2
    numbers[:, LEVEL] = 7
    week = np.array([0.0, 0.1, 0.2, 0.1, 0.0, -0.2, -0.4])
    logs = 8 + week[(day - 1) % 7] + 0.5 * (day // 7 % 2)
    return Days(numbers, logs, np.full(count, store), day)


def test_prophet_finds_the_week_and_promotions_of_a_store_with_a_long_history() -> None:
    """The other store gets the baseline: here its level, 7."""
    origin = date(2015, 6, 14).toordinal()
    known = ((1, 400), (2, BACK))
    learn = concatenate([store_days(origin - days, days, store=store) for store, days in known])
    test = concatenate([store_days(origin, AHEAD, store=store) for store, _ in known])
    y_pred = prophet(learn, test, seed=1)
    assert y_pred[:AHEAD] == pytest.approx(test.logs[:AHEAD], abs=0.05)
    assert (y_pred[AHEAD:] == 7).all()


def test_the_calendar_has_prophets_regressors() -> None:
    table = forecasters.calendar(date(2013, 7, 2).toordinal(), date(2015, 6, 13).toordinal())
    assert table["trend"].iloc[-1] == pytest.approx(712 / 365.25)
    assert (table.filter(like="weekday").sum(axis=1) == 1).all()
    bend = table["bend_0.5"]
    assert (bend[table["trend"] < 0.5] == 0).all()
    assert bend.iloc[-1] == pytest.approx(712 / 365.25 - 0.5)
    # The Fourier terms have a period of one year.
    waves = table.filter(regex="sin|cos")
    assert waves.shape[1] == 10
    assert waves.loc["2013-08-01"].to_numpy() == pytest.approx(waves.loc["2014-08-01"].to_numpy())


def test_errors_are_those_of_the_competition() -> None:
    found = metrics.forecast_errors(np.log([100.0, 200.0]), np.log([110.0, 160.0]))
    assert found["rmspe"] == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 2))
    assert found["mae"] == pytest.approx(25)


def test_thresholds_in_float32_split_the_same_numbers() -> None:
    rng = np.random.default_rng(2)
    numbers = rng.normal(size=(3000, len(NUMBERS))).round(1).astype(np.float32)
    best = forecasters.regressors(0, 20, 15)["lightgbm"]().fit(
        numbers, numbers[:, 0] + numbers[:, 1]
    )
    before = best.predict(numbers)
    train.in_float32(best)
    assert (best.predict(numbers) == before).all()
    frame = best.booster_.trees_to_dataframe()
    thresholds = frame["threshold"].dropna().astype(float).to_numpy()
    assert len(thresholds) > 100
    assert (thresholds == thresholds.astype(np.float32)).all()
