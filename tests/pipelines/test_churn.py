"""Churn: features from the store, look-ups, calibration, and the profit of offers."""

import csv
import gzip
import json
from collections import Counter
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
from slipway.features import definitions, lineage, offline, places
from slipway.features.history import training_set
from slipway.features.materialize import materialize
from slipway.features.online import Online
from slipway.features.tables import TIME, telco_customers
from slipway.project import find
from slipway.stages.fit import fit
from slipway.stages.prepare import prepare
from slipway.training import Candidate
from slipway.training.boosting_export import export_boosting
from slipway.training.calibration import Reliability, expected_calibration_error
from slipway.training.frames import concatenate_blocks, to_dicts
from slipway.training.tabular import export_onnx
from slipway.training.workspace import Workspace

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


FILE = "telco_customer_churn.csv.gz"


@pytest.fixture(scope="module")
def splits(own_home: Path) -> dict[str, list[tuple[Customer, bool]]]:
    """Return all customers by split."""
    found = data.splits(fetch("telco_customer_churn"), seed=1, test_share=0.25)
    return {name: list(rows) for name, rows in found.items()}


@pytest.fixture(scope="module")
def customers(splits: dict[str, list[tuple[Customer, bool]]]) -> list[tuple[Customer, bool]]:
    """Return every seventh training customer."""
    return splits["train"][::7]


@pytest.fixture(scope="module")
def work(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace trained on few customers."""
    work = Workspace.tiny(find("churn"), tmp_path_factory.mktemp("churn"))
    prepare(work)
    fit(work)
    return work


def test_records_and_labels_are_the_rows_of_the_file(
    splits: dict[str, list[tuple[Customer, bool]]],
) -> None:
    with gzip.open(fetch("telco_customer_churn").path(FILE), "rt", newline="") as stream:
        lines = list(csv.DictReader(stream))
    words = {"No": "none", "Bank transfer (automatic)": "bank_transfer"}
    words["Credit card (automatic)"] = "credit_card"
    expected = []
    for line in lines:
        row: dict[str, object] = {
            name: words.get(line[column], line[column].lower().replace(" ", "_").replace("-", "_"))
            for name, column in telco_customers.COLUMNS.items()
        }
        row |= {name: line[column] == "Yes" for column, name in telco_customers.YES_NO.items()}
        row["senior_citizen"] = line["SeniorCitizen"] == "1"
        row["tenure"], row["monthly_charges"] = line["tenure"], line["MonthlyCharges"]
        row["total_charges"] = line["TotalCharges"].strip() or None
        record = Customer.model_validate(row)
        expected.append((record.model_dump_json(), line["Churn"] == "Yes"))
    found = [(each.model_dump_json(), left) for rows in splits.values() for each, left in rows]
    assert Counter(found) == Counter(expected)
    assert len(found) == 7043


def test_the_version_records_the_features_it_was_trained_on(work: Workspace) -> None:
    recorded = json.loads((work.weights / lineage.FILE).read_text())
    assert recorded == lineage.record("churn")
    assert set(recorded["features"]) == set(Customer.model_fields)


def test_a_customers_id_alone_is_enough(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.delenv(places.REDIS, raising=False)
    lookup = Churn.looked_up
    assert lookup is not None
    reads = definitions.load().plan(lookup.service).reads
    materialize(views=[read.view.name for read in reads])
    offline.build(data.TABLE)
    raw = pd.read_csv(fetch("telco_customer_churn").path(FILE), usecols=["customerID"])
    keys = raw["customerID"].tolist()[::100]
    entities = pd.DataFrame({data.KEY: keys, TIME: telco_customers.COUNTED})
    joined = to_dicts(training_set(lookup.service, entities))
    found = Online(timeout=2.0).look_up(lookup.service, lookup.entity, keys)
    expected = [{name: row[name] for name in Customer.model_fields} for row in joined]
    assert found == expected
    model = Churn()
    model.load(work.weights)
    predictions = model.predict([Customer(**each) for each in found if each])
    assert len({each.probability for each in predictions}) > len(keys) / 2


def named(customer: Customer) -> dict[str, float]:
    return dict(zip(NUMBERS, features([customer])["numbers"][0].tolist(), strict=True))


def test_behaviour_features_are_computed_from_the_bill() -> None:
    values = named(CUSTOMER)
    assert (values["tenure"], values["mean_charges"], values["charges_rise"]) == (10, 70, 10)
    # Telephone, internet, backup and television.
    assert (values["services"], values["charges_per_service"]) == (4, 20)
    assert (values["pays_automatically"], values["first_year"]) == (1, 1)


def test_a_new_customer_has_no_mean_yet() -> None:
    values = named(CUSTOMER.model_copy(update={"tenure": 0, "total_charges": None}))
    assert (values["mean_charges"], values["charges_rise"]) == (80, 0)


def test_protected_fields_are_not_features() -> None:
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
def test_calibration_corrects_overconfident_probabilities(kind: str) -> None:
    rng = np.random.default_rng(0)
    true_probability = rng.beta(2, 4, 40_000)
    left = rng.random(len(true_probability)) < true_probability
    y_prob = 1 / (1 + np.exp(-2.5 * log_odds(true_probability) - 0.8))
    half = len(y_prob) // 2
    mended = train.calibrator(kind, y_prob[:half], left[:half])(y_prob[half:])
    assert (
        expected_calibration_error(Reliability.from_predictions(y_prob[half:], left[half:])) > 0.1
    )
    assert expected_calibration_error(Reliability.from_predictions(mended, left[half:])) < 0.02
    if kind == "sigmoid":
        assert np.abs(mended - true_probability[half:]).max() < 0.02


def test_isotonic_calibration_equals_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    y_prob = rng.random(500)
    left = rng.random(500) < y_prob**2
    wanted = IsotonicRegression(out_of_bounds="clip").fit(y_prob, left)
    grid = np.linspace(0, 1, 999)
    assert train.calibrator("isotonic", y_prob, left)(grid) == pytest.approx(wanted.predict(grid))


def test_an_unknown_calibration_is_named() -> None:
    with pytest.raises(ValueError, match="must be none, sigmoid or isotonic, got 'beta'"):
        Calibration("beta")(np.array([0.5]))


def test_the_calibration_error_is_the_mean_gap_over_bins() -> None:
    left = np.arange(1000) % 4 == 0
    for y_prob, wanted in ((0.25, 0.0), (0.45, 0.2)):
        bins = vars(Reliability.from_predictions(np.full(1000, y_prob), left))
        candidate = Candidate("any", {}, {}, {name: each.tolist() for name, each in bins.items()})
        found = report.describe(candidate)["calibration_error"]
        assert found == pytest.approx(wanted, abs=1e-9)


def test_dollars_by_hand() -> None:
    offer = Offer(horizon_months=12, cost=40, success_rate=0.3)
    (cheap,) = risks([CUSTOMER], np.array([0.25]), offer)
    assert cheap.revenue == pytest.approx(960)
    assert cheap.revenue_at_stake == pytest.approx(240)
    assert cheap.offer_gain == pytest.approx(0.3 * 240 - 40)
    assert cheap.make_offer
    assert not cheap.leaves
    (expensive,) = risks([CUSTOMER], np.array([0.25]), Offer(12, 80, 0.3))
    assert expensive.offer_gain == pytest.approx(-8)
    assert not expensive.make_offer


def test_profits_by_hand() -> None:
    offer = Offer(horizon_months=1, cost=10, success_rate=0.5)
    gains = np.array([1.0, 3.0, 2.0])
    left, revenue = np.array([True, True, False]), np.array([30.0, 100.0, 50.0])
    # In the order of gains: the second earns 40, the third costs 10, the first earns 5.
    assert metrics.profits(gains, left, revenue, offer).tolist() == pytest.approx(
        [0, 40 / 3, 30 / 3, 35 / 3]
    )


def test_the_first_year_is_the_same_in_the_picture_and_the_model() -> None:
    assert [report.year_of(each) for each in (0, 1, 12, 13, 24, 25, 72, 73, 200)] == [
        *(1, 1, 1, 2, 2, 3, 6, 6, 6)
    ]
    for tenure in (0, 11, 12, 13):
        values = named(CUSTOMER.model_copy(update={"tenure": tenure}))
        assert (report.year_of(tenure) == 1) == bool(values["first_year"])


def test_the_profit_depends_on_each_assumption() -> None:
    offer = Offer(horizon_months=10, cost=10, success_rate=0.5)
    y_prob, left, monthly = np.array([0.9, 0.1]), np.array([True, False]), np.array([8.0, 8.0])
    # Calling the first alone earns 0.5 x 80 - 10 dollars for two customers; the second costs 10.
    for field, own in (("success_rate", 0.5), ("cost", 10), ("horizon_months", 10)):
        values = np.array([0.0, own])
        model, everyone = report.sensitivity(field, values, y_prob, left, monthly, offer)
        assert (model[1], everyone[1]) == (15, 10)
        assert model[0] == (0 if field != "cost" else 20)
        assert everyone[0] == (-10 if field != "cost" else 20)


def test_a_candidate_is_drawn_with_its_learner() -> None:
    for learner in ("logistic", "boosting", "xgboost", "catboost"):
        for suffix in ("", "_sigmoid", "_isotonic", "_balanced", "_balanced_isotonic"):
            assert report.unweighted(f"{learner}{suffix}") == learner


def test_with_true_probabilities_the_best_cut_is_at_an_expected_gain_of_zero() -> None:
    rng = np.random.default_rng(2)
    true_probability, monthly = rng.beta(1, 3, 200_000), rng.uniform(20, 120, 200_000)
    offer = Offer(12, 40, 0.3)
    gains = offer.gain(true_probability, monthly)
    curve = metrics.profits(
        gains, rng.random(len(true_probability)) < true_probability, offer.revenue(monthly), offer
    )
    called = int((gains > 0).sum())
    assert curve[called] == pytest.approx(curve.max(), rel=0.01)
    assert curve[called] > max(0.0, curve[-1]) + 1


def test_learners_are_ordered_from_the_simplest_to_the_most_complex() -> None:
    served = ["logistic", "logistic_balanced", "boosting", "boosting_balanced", "xgboost"]
    assert list(train.learners(0, 12)) == [*served, train.UNSERVED]


def test_catboost_encodes_categories_without_the_rows_own_label() -> None:
    """With a category for each row it has nothing to learn from; with shared ones it has.

    An encoding by all rows would find every label in the first case.
    """
    left = np.random.default_rng(0).random(300) < 0.4
    model = train.pipeline(train.learners(0, 60)[train.UNSERVED])
    spreads = []
    for names in (np.arange(300), left.astype(int)):
        columns = np.zeros((300, len(NUMBERS) + len(CATEGORIES)), dtype=object)
        columns[:, -len(CATEGORIES) :] = names.astype(str)[:, None]
        spreads.append(np.std(model.fit(columns, left).predict_proba(columns)[:, 1]))
    assert spreads[0] < 0.01
    assert spreads[1] > 0.2


@pytest.mark.parametrize(
    "learner", [each for each in train.learners(0, 12) if each != train.UNSERVED]
)
@pytest.mark.parametrize("kind", metrics.CALIBRATIONS)
def test_every_learner_with_every_calibration_is_served_as_it_was_trained(
    learner: str, kind: str, customers: list[tuple[Customer, bool]], tmp_path: Path
) -> None:
    records, left = [each for each, _ in customers], np.array([gone for _, gone in customers])
    columns = concatenate_blocks(features(records))
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
    y_prob = [each.probability for each in model.predict(records)]
    wanted = calibration(made.predict_proba(columns)[:, 1])
    # Isotonic steps are steep between close knots, where float32 matters.
    assert y_prob == pytest.approx(wanted, abs=1e-3 if kind == "isotonic" else 1e-5)
    assert np.std(y_prob) > 0.05


def test_an_inconsistent_table_is_refused() -> None:
    raw = pd.read_csv(
        fetch("telco_customer_churn").path(FILE),
        na_values={"TotalCharges": " "},
    )
    data.SCHEMA.validate(raw)
    raw.loc[3, "TotalCharges"] = np.nan
    with pytest.raises(pandera.errors.SchemaError):
        data.SCHEMA.validate(raw)


def test_each_age_group_has_its_own_area() -> None:
    left, senior = np.array([True, False] * 40), np.arange(80) >= 40
    # Perfect below 65 and reversed from 65 on.
    y_prob = np.where(senior, 1 - left, left).astype(float)
    areas = train.areas_by_age(y_prob, left, senior)
    assert areas["roc_auc_under_65_low"] == areas["roc_auc_under_65"] == 1
    assert areas["roc_auc_65_or_older"] == areas["roc_auc_65_or_older_high"] == 0
