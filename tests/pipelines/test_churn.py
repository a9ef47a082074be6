"""Churn: features, calibration and the arithmetic of offers, by hand and on the real customers."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.errors
import pytest
from sklearn.isotonic import IsotonicRegression

from pipelines.ml.churn import data, metrics, report, train
from pipelines.ml.churn.model import (
    CATEGORIES,
    NUMBERS,
    Calibration,
    Churn,
    Customer,
    Offer,
    features,
    risks,
)
from slipway.contract.calibration import log_odds
from slipway.datasets import fetch
from slipway.reporting.metrics import expected_calibration_error
from slipway.training import Candidate
from slipway.training.boosting_export import export_boosting
from slipway.training.calibration import Reliability
from slipway.training.frames import together
from slipway.training.tabular import export_onnx

CUSTOMER = Customer(
    gender="female",
    senior_citizen=False,
    partner=True,
    dependents=False,
    tenure=10,
    phone_service=True,
    internet_service="fiber_optic",
    online_backup=True,
    streaming_tv=True,
    contract="month_to_month",
    paperless_billing=True,
    payment_method="bank_transfer",
    monthly_charges=80.0,
    total_charges=700.0,
)


@pytest.fixture(scope="module")
def customers() -> list[tuple[Customer, bool]]:
    """Every seventh training customer."""
    splits = data.splits(fetch("telco_customer_churn"), seed=1, test_share=0.25)
    return list(splits["train"])[::7]


def named(customer: Customer) -> dict[str, float]:
    return dict(zip(NUMBERS, features([customer])["numbers"][0].tolist(), strict=True))


def test_behaviour_is_worked_out_from_the_bill() -> None:
    told = named(CUSTOMER)
    assert (told["tenure"], told["mean_charges"], told["charges_rise"]) == (10, 70, 10)
    # Telephone, internet, backup and television.
    assert (told["services"], told["charges_per_service"]) == (4, 20)
    assert (told["pays_automatically"], told["first_year"]) == (1, 1)


def test_a_new_customer_has_no_mean_yet() -> None:
    told = named(CUSTOMER.model_copy(update={"tenure": 0, "total_charges": None}))
    assert (told["mean_charges"], told["charges_rise"]) == (80, 0)


def test_protected_fields_are_no_features() -> None:
    other = CUSTOMER.model_copy(update={"gender": "male", "senior_citizen": True})
    mine, theirs = features([CUSTOMER]), features([other])
    assert all((mine[name] == theirs[name]).all() for name in mine)
    assert set(Churn.protected) == {"gender", "senior_citizen"}


def test_no_customers_give_empty_columns() -> None:
    assert {name: each.shape for name, each in features([]).items()} == {
        "numbers": (0, len(NUMBERS)),
        "categories": (0, len(CATEGORIES)),
    }


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_calibration_mends_probabilities_that_are_too_sure(kind: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.beta(2, 4, 40_000)
    left = rng.random(len(truth)) < truth
    told = 1 / (1 + np.exp(-2.5 * log_odds(truth) - 0.8))
    half = len(told) // 2
    mended = train.calibrator(kind, told[:half], left[:half])(told[half:])
    assert expected_calibration_error(Reliability.of(told[half:], left[half:])) > 0.1
    assert expected_calibration_error(Reliability.of(mended, left[half:])) < 0.02
    if kind == "sigmoid":
        assert np.abs(mended - truth[half:]).max() < 0.02


def test_isotonic_calibration_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    told = rng.random(500)
    left = rng.random(500) < told**2
    wanted = IsotonicRegression(out_of_bounds="clip").fit(told, left)
    grid = np.linspace(0, 1, 999)
    assert train.calibrator("isotonic", told, left)(grid) == pytest.approx(wanted.predict(grid))


def test_an_unknown_calibration_is_named() -> None:
    with pytest.raises(ValueError, match="must be none, sigmoid or isotonic, got 'beta'"):
        Calibration("beta")(np.array([0.5]))


def test_the_calibration_error_is_the_mean_gap_over_bins() -> None:
    left = np.arange(1000) % 4 == 0
    for told, wanted in ((0.25, 0.0), (0.45, 0.2)):
        bins = vars(Reliability.of(np.full(1000, told), left))
        candidate = Candidate("any", {}, {}, {name: each.tolist() for name, each in bins.items()})
        found = report.describe(candidate)["calibration_error"]
        assert found == pytest.approx(wanted, abs=1e-9)


def test_dollars_by_hand() -> None:
    offer = Offer(horizon_months=12, cost=40, success_rate=0.3)
    (told,) = risks([CUSTOMER], np.array([0.25]), offer)
    assert told.revenue == pytest.approx(960)
    assert told.revenue_at_stake == pytest.approx(240)
    assert told.offer_gain == pytest.approx(0.3 * 240 - 40)
    assert told.make_offer
    assert not told.leaves
    (dear,) = risks([CUSTOMER], np.array([0.25]), Offer(12, 80, 0.3))
    assert dear.offer_gain == pytest.approx(-8)
    assert not dear.make_offer


def test_profits_by_hand() -> None:
    offer = Offer(horizon_months=1, cost=10, success_rate=0.5)
    gains = np.array([1.0, 3.0, 2.0])
    left, revenue = np.array([True, True, False]), np.array([30.0, 100.0, 50.0])
    # In the order of gains: the second brings 40, the third costs 10, the first brings 5.
    assert metrics.profits(gains, left, revenue, offer).tolist() == pytest.approx(
        [0, 40 / 3, 30 / 3, 35 / 3]
    )


def test_the_year_drawn_is_the_one_that_the_model_knows() -> None:
    assert [report.year_of(each) for each in (0, 1, 12, 13, 24, 25, 72, 73, 200)] == [
        *(1, 1, 1, 2, 2, 3, 6, 6, 6)
    ]
    for tenure in (0, 11, 12, 13):
        told = named(CUSTOMER.model_copy(update={"tenure": tenure}))
        assert (report.year_of(tenure) == 1) == bool(told["first_year"])


def test_each_assumption_moves_the_profit_its_own_way() -> None:
    offer = Offer(horizon_months=10, cost=10, success_rate=0.5)
    told, left, monthly = np.array([0.9, 0.1]), np.array([True, False]), np.array([8.0, 8.0])
    # Called at a gain: the first alone, 0.5 x 80 - 10 dollars between two; all: 10 dollars less.
    for field, own in (("success_rate", 0.5), ("cost", 10), ("horizon_months", 10)):
        values = np.array([0.0, own])
        model, everyone = report.sensitivity(field, values, told, left, monthly, offer)
        assert (model[1], everyone[1]) == (15, 10)
        assert model[0] == (0 if field != "cost" else 20)
        assert everyone[0] == (-10 if field != "cost" else 20)


def test_a_candidate_is_drawn_with_its_learner() -> None:
    for learner in ("logistic", "boosting", "xgboost"):
        for suffix in ("", "_sigmoid", "_isotonic", "_balanced", "_balanced_isotonic"):
            assert report.unweighted(f"{learner}{suffix}") == learner


def test_true_probabilities_put_the_best_cut_where_the_expected_gain_is_zero() -> None:
    rng = np.random.default_rng(2)
    truth, monthly = rng.beta(1, 3, 200_000), rng.uniform(20, 120, 200_000)
    offer = Offer(12, 40, 0.3)
    gains = offer.gain(truth, monthly)
    curve = metrics.profits(gains, rng.random(len(truth)) < truth, offer.revenue(monthly), offer)
    called = int((gains > 0).sum())
    assert curve[called] == pytest.approx(curve.max(), rel=0.01)
    assert curve[called] > max(0.0, curve[-1]) + 1


def test_learners_stand_from_the_simplest_to_the_most_complex() -> None:
    names = ["logistic", "logistic_balanced", "boosting", "boosting_balanced", "xgboost"]
    assert list(train.learners(0, 12)) == names


@pytest.mark.parametrize("learner", list(train.learners(0, 12)))
@pytest.mark.parametrize("kind", metrics.CALIBRATIONS)
def test_every_learner_with_every_calibration_is_served_as_it_was_trained(
    learner: str, kind: str, customers: list[tuple[Customer, bool]], tmp_path: Path
) -> None:
    records, left = [each for each, _ in customers], np.array([gone for _, gone in customers])
    columns = together(features(records))
    made = train.pipeline(train.learners(0, 12)[learner])
    calibration = train.calibrator(kind, train.out_of_fold(made, columns, left, 3), left)
    made.fit(columns, left)
    export_boosting()
    export_onnx(made, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, tmp_path)
    offer = Offer(12, 40, 0.3)
    (tmp_path / "calibration.json").write_text(json.dumps(asdict(calibration)))
    (tmp_path / "offer.json").write_text(json.dumps(asdict(offer)))
    model = Churn()
    model.load(tmp_path)
    told = [each.probability for each in model.predict(records)]
    wanted = calibration(made.predict_proba(columns)[:, 1])
    # Isotonic steps are steep where two knots lie close: float32 shows there.
    assert told == pytest.approx(wanted, abs=1e-3 if kind == "isotonic" else 1e-5)
    assert np.std(told) > 0.05


def test_a_table_that_does_not_hold_together_is_refused() -> None:
    raw = pd.read_csv(
        fetch("telco_customer_churn").path("telco_customer_churn.csv.gz"),
        na_values={"TotalCharges": " "},
    )
    data.SCHEMA.validate(raw)
    raw.loc[3, "TotalCharges"] = np.nan
    with pytest.raises(pandera.errors.SchemaError):
        data.SCHEMA.validate(raw)
