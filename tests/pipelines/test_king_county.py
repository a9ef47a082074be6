"""King County: features never contain the price of the house itself, of its day, or later."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from skl2onnx.common.exceptions import MissingShapeCalculator

from pipelines.ml.king_county import data, train
from pipelines.ml.king_county.model import (
    NEARBY,
    NUMBERS,
    PLACES,
    House,
    KingCounty,
    Sales,
    days,
    distances,
    features,
    position,
    positions_of,
    valuations,
)
from slipway.datasets import fetch
from slipway.project import find
from slipway.training import LabelledRows
from slipway.training.tabular import export_onnx

HOUSE = {
    "sold_on": "2015-01-10",
    "zip_code": "98103",
    "latitude": 47.66,
    "longitude": -122.34,
    "living_area": 2000,
    "area_above_ground": 1500,
    "lot_area": 5000,
    "neighbours_living_area": 1800,
    "neighbours_lot_area": 5000,
    "bedrooms": 3,
    "bathrooms": 2,
    "floors": 1,
    "condition": 3,
    "grade": 7,
    "year_built": 1960,
}


@pytest.fixture(scope="module")
def sold() -> dict[str, LabelledRows]:
    """Return 2,000 sales of the training weeks and 300 of the test weeks."""
    splits = data.splits(fetch("king_county_houses"), seed=1, test_from="2015-03-15")
    pairs = {name: list(rows) for name, rows in splits.items()}
    return {
        name: LabelledRows(*map(list, zip(*rows[:most], strict=True)))
        for (name, rows), most in zip(pairs.items(), (2000, 300), strict=True)
    }


def test_every_test_sale_is_later_than_every_training_sale(sold: dict[str, LabelledRows]) -> None:
    days_of = {name: [each.sold_on for each in rows.records] for name, rows in sold.items()}
    assert max(days_of["train"]) < "2015-03-15" <= min(days_of["test"])
    assert len({each[:7] for each in days_of["train"]}) == 11


def test_a_price_moves_only_the_features_of_later_days(sold: dict[str, LabelledRows]) -> None:
    """It does not change features of its own sale, of the same day, or of an earlier day."""
    houses, prices = sold["train"].records, np.array(sold["train"].labels)
    one = int(np.argsort(days(houses))[len(houses) // 2])
    wild = prices.copy()
    wild[one] *= 1000
    before, after = (
        features(houses, Sales.from_houses(houses, each))["numbers"] for each in (prices, wild)
    )
    moved = (before != after).any(axis=1)
    assert moved.any()
    assert days(houses)[moved].min() > days(houses)[one]
    columns = (before != after).any(axis=0)
    assert {name for name, each in zip(NUMBERS, columns, strict=True) if each} == set(NEARBY[:2])


def test_features_of_test_rows_use_no_price_of_test_rows(sold: dict[str, LabelledRows]) -> None:
    houses = sold["train"].records + sold["test"].records
    prices = np.array(sold["train"].labels + sold["test"].labels)
    wild = np.where(np.arange(len(prices)) < 2000, prices, prices * 1000)
    cut, first = train.day("2015-03-15"), 0
    splits = [train.split_by_day(houses, each, cut, first) for each in (prices, wild)]
    for one, other in zip(splits[0][:2], splits[1][:2], strict=True):
        assert (one.columns == other.columns).all()
    assert (splits[0][0].logs == splits[1][0].logs).all()
    assert len(splits[0][1].logs) == 300


def test_the_zip_code_encoding_of_a_row_does_not_use_its_price(
    sold: dict[str, LabelledRows],
) -> None:
    """An encoder fitted on all rows at once would put the wild price into its own row."""
    houses, prices = sold["train"].records, np.array(sold["train"].labels)
    known, _, _ = train.split_by_day(houses, prices, 10_000, 0)
    wild = known.logs.copy()
    wild[7] += 50
    encoded = []
    for logs in (known.logs, wild):
        fitted = train.pipeline(train.estimator("linear", {}, 0), ("grade",), "encoded", seed=3)
        encoded.append(fitted[0].fit_transform(known.columns, logs)[:, -1])
    assert encoded[0][7] == encoded[1][7]
    same_zip = known.columns[:, -1] == known.columns[7, -1]
    assert (encoded[0][same_zip] != encoded[1][same_zip]).any()


def test_catboosts_own_encoding_of_the_zip_code_does_not_use_the_rows_own_price() -> None:
    """With a zip code for each row it has nothing to learn from; with shared ones it has.

    An encoding by all rows, or the code as a number, would find every price in the first case.
    """
    rng = np.random.default_rng(0)
    columns = np.zeros((300, len(NUMBERS)), dtype=np.float32)
    model = train.pipeline(train.estimator("catboost", {}, 0), ("grade",), "ordered", seed=0)
    spreads = []
    for codes in (np.arange(300), np.arange(300) % 3):
        columns[:, -1] = 98_000 + codes
        logs = codes % 3 + rng.normal(0, 0.1, 300)
        spreads.append(np.std(model.fit(columns, logs).predict(columns)) / np.std(logs))
    assert spreads[0] < 0.05
    assert spreads[1] > 0.9


def test_catboost_is_not_served_since_it_cannot_be_exported(tmp_path: Path) -> None:
    others = [name for name in train.CANDIDATES if name not in train.SERVED]
    assert others == ["catboost", "catboost_own_zip", "catboost_tuned"]
    columns = np.random.default_rng(0).random((50, len(NUMBERS)))
    settings = {"catboost": {"n_estimators": 2}}
    model = train.pipeline(
        train.estimator("catboost_tuned", settings, 0), ("grade",), "encoded", seed=0
    )
    with pytest.raises(MissingShapeCalculator, match="CatBoostRegressor"):
        export_onnx(model.fit(columns, columns[:, 0]), {"numbers": len(NUMBERS)}, tmp_path)


def test_neighbours_are_the_nearest_by_brute_force(sold: dict[str, LabelledRows]) -> None:
    houses, prices = sold["train"].records, np.array(sold["train"].labels)
    sales = Sales.from_houses(houses, prices)
    queried = houses[:40]
    nearby = sales.nearest_before(positions_of(queried), days(queried), chunk=7)
    spots, when = positions_of(houses), days(houses)
    for row, house in enumerate(queried):
        away = np.hypot(*(spots - spots[row]).T)
        earlier = np.flatnonzero(when < when[row])
        nearest = earlier[np.argsort(away[earlier])[:12]]
        assert nearby[row, 1] == pytest.approx(away[nearest].max(), abs=1e-3)
        logs = np.log([prices[i] / houses[i].living_area / 250 for i in nearest])
        mean = np.average(logs, weights=1 / (away[nearest] + 0.2))
        assert nearby[row, 0] == pytest.approx(mean, abs=2e-3), house


def test_the_earliest_sale_gets_typical_neighbours() -> None:
    house = House(**HOUSE)
    sales = Sales.from_houses([house], np.array([1e6]))
    assert sales.nearest_before(positions_of([house]), days([house])).tolist() == [[0.0, 50.0]]
    assert np.isfinite(features([house], sales)["numbers"]).all()


def test_distances_are_those_of_the_map() -> None:
    """The straight line from Seattle to its airport is 17.6 km."""
    north, east = np.array(list(PLACES.values())).T
    away = distances(position(north, east), position(north, east))
    names = list(PLACES)
    assert away[names.index("seattle"), names.index("airport")] == pytest.approx(17.6, abs=0.2)
    assert np.diag(away) == pytest.approx(0, abs=1e-4)


def test_candidates_go_from_the_simplest_to_the_most_complex() -> None:
    kinds = [kind for kind, _, _ in train.CANDIDATES.values()]
    order = ("mean", "linear", "ridge", "lightgbm", "xgboost", "catboost")
    tuned = ("lightgbm_tuned", "xgboost_tuned", "catboost_tuned", "stack", "stack_tuned")
    assert list(dict.fromkeys(kinds)) == [*order, *tuned]


def test_the_standard_error_of_the_rmse_is_its_spread_over_samples() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(300, 500))
    errors = [train.rmse_error(each, np.zeros(500), 0) for each in samples[:40]]
    assert np.mean(errors) == pytest.approx(np.std(np.sqrt((samples**2).mean(axis=1))), rel=0.1)


def test_the_interval_widens_until_it_contains_nine_in_ten() -> None:
    rng = np.random.default_rng(0)
    y_true = rng.normal(0, 1, 4000)
    low, high = np.full(4000, -0.5), np.full(4000, 0.5)
    wider = train.widening(low[:2000], high[:2000], y_true[:2000])
    within = np.abs(y_true[2000:]) <= 0.5 + wider
    assert wider == pytest.approx(1.645 - 0.5, abs=0.1)
    assert within.mean() == pytest.approx(0.9, abs=0.02)
    # Ends that are too far apart move inwards.
    assert train.widening(low * 10, high * 10, y_true) < -2


def test_a_crossed_interval_contains_the_price() -> None:
    numbers = features([house := House(**HOUSE)], Sales.from_houses([house], np.array([1e6])))[
        "numbers"
    ]
    (valuation,) = valuations(numbers, np.array([[0.0, 0.3, -0.3]]))
    assert valuation.low == valuation.price == valuation.high


def test_the_graph_predicts_as_the_fitted_models(
    sold: dict[str, LabelledRows], tmp_path: Path
) -> None:
    """The graph agrees also for a zip code that it never saw.

    The encoded zip code has more digits than float32, so a few rows take another branch.
    """
    houses, prices = sold["train"].records[:600], np.array(sold["train"].labels[:600])
    known, _, sales = train.split_by_day(houses, prices, 10_000, 0)
    found = {"lightgbm": {"n_estimators": 30}, "xgboost": {"n_estimators": 30}}
    kinds = ("stack_tuned", "xgboost_tuned", "lightgbm_tuned")
    served = [
        train.pipeline(train.estimator(kind, found, 0), train.EVERYTHING, "encoded", 0).fit(
            known.columns, known.logs
        )
        for kind in kinds
    ]
    train.export(served, 0.25, tmp_path)
    np.savez(tmp_path / "sales.npz", table=sales.table, shore=sales.shore)
    model = KingCounty()
    model.load(tmp_path)
    houses_to_price = [*sold["test"].records, House(**HOUSE | {"zip_code": "98999"})]
    numbers = features(houses_to_price, sales)["numbers"]
    outputs = model.run({"numbers": numbers})
    for name, each, moved in zip(("price", "low", "high"), served, (0, -0.25, 0.25), strict=True):
        off = np.abs(outputs[name][:, 0] - each.predict(numbers) - moved)
        assert np.mean(off < 1e-5) > 0.99
        assert off.max() < 0.02
    assert np.std(outputs["price"]) > 0.1
    assert model.predict([]) == []


def test_a_house_on_the_water_is_at_the_shore_whether_known_or_new(
    sold: dict[str, LabelledRows],
) -> None:
    houses, prices = sold["train"].records, np.array(sold["train"].labels)
    own = next(place for place, each in enumerate(houses) if each.waterfront)
    others = np.arange(len(houses)) != own
    unseen = Sales.from_houses([*houses[:own], *houses[own + 1 :]], prices[others])
    shore = [
        features([houses[own]], sales)["numbers"][0, NUMBERS.index("to_shore")]
        for sales in (Sales.from_houses(houses, prices), unseen)
    ]
    assert unseen.to_shore(positions_of([houses[own]])) > 0
    assert shore == [0, 0]


def test_most_trials_are_not_random() -> None:
    assert find("king_county").params.fit["trials"] > 2 * train.STARTUP


@pytest.mark.parametrize(
    ("field", "value"), [("area_above_ground", 2001), ("year_renovated", 1959)]
)
def test_an_impossible_house_is_refused_with_the_name_of_the_field(field: str, value: int) -> None:
    with pytest.raises(ValidationError, match=field):
        House(**HOUSE | {field: value})


@pytest.mark.parametrize("day", ["2015-02-30", "2014-04-30"])
def test_an_invalid_day_is_refused_with_the_name_of_the_field(day: str) -> None:
    with pytest.raises(ValidationError, match="sold_on"):
        House(**HOUSE | {"sold_on": day})
