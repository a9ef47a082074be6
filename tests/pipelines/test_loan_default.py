"""Loan default: SMOTE, costs and calibration against hand-computed values, and no leaks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.model_selection import train_test_split

from pipelines.ml.loan_default import data, metrics, report, train
from pipelines.ml.loan_default.model import (
    LOSS_OF_DEFAULT,
    LOST_MARGIN,
    NUMBERS,
    Borrower,
    features,
    risks,
)
from slipway.contract.calibration import calibrated, log_odds
from slipway.contract.graph import OnnxRuntimeGraph
from slipway.datasets import fetch
from slipway.reporting.metrics import binary_metrics
from slipway.training import LabelledRows
from slipway.training.platt import platt
from slipway.training.tabular import export_onnx

SMALL = {"seed": 1, "trees": 10, "rounds": 20}
BORROWER = Borrower(
    utilization=0.3,
    age=40,
    late_30_days=1,
    late_60_days=0,
    late_90_days=2,
    monthly_debt=1000,
    monthly_income=4000,
    open_lines=5,
    real_estate_loans=1,
    dependents=1,
)

CODED = dict.fromkeys(("late_30_days", "late_60_days", "late_90_days"), 98)


@pytest.fixture(scope="module")
def splits() -> dict[str, LabelledRows]:
    pairs = data.splits(fetch("give_me_some_credit"), seed=6, test_share=0.25, one_in=1)
    return {name: LabelledRows(*map(list, zip(*rows, strict=True))) for name, rows in pairs.items()}


@pytest.fixture(scope="module")
def small(splits: dict[str, LabelledRows]) -> tuple[np.ndarray, np.ndarray]:
    rows = splits["train"].head(4000)
    return features(rows.records)["numbers"], np.array(rows.labels)


def named(borrower: Borrower) -> dict[str, float]:
    return dict(zip(NUMBERS, features([borrower])["numbers"][0].tolist(), strict=True))


def test_no_borrower_is_in_both_splits(splits: dict[str, LabelledRows]) -> None:
    train_side, test_side = (
        {tuple(each.model_dump().values()) for each in splits[name].records}
        for name in ("train", "test")
    )
    assert not train_side & test_side
    assert len(train_side) + len(test_side) == len(splits["train"]) + len(splits["test"])


def test_debt_does_not_reveal_whether_the_income_is_known(splits: dict[str, LabelledRows]) -> None:
    raw = pd.read_csv(fetch("give_me_some_credit").path("creditscoring1.csv.gz"))
    unknown = raw["MonthlyIncome"].isna()
    assert raw.loc[unknown, "DebtRatio"].median() > 1000 * raw.loc[~unknown, "DebtRatio"].median()
    debts: dict[bool, list[float]] = {True: [], False: []}
    for each in splits["train"].records:
        debts[each.monthly_income is None].append(each.monthly_debt)
    assert 0.3 < np.median(debts[True]) / np.median(debts[False]) < 3


def test_features_match_hand_computed_values() -> None:
    values = named(BORROWER)
    assert (values["late_in_all"], values["coded"], values["debt_ratio"]) == (3, 0, 0.25)
    assert values["income_a_head"] == pytest.approx(np.log1p(2000), abs=1e-4)


def test_a_code_of_the_bureau_is_not_a_count() -> None:
    values = named(BORROWER.model_copy(update=CODED))
    assert values["coded"] == 1
    assert all(np.isnan(values[f"late_{kind}"]) for kind in ("30_days", "90_days", "in_all"))
    with pytest.raises(ValidationError, match="in all three"):
        Borrower.model_validate(BORROWER.model_dump() | {"late_90_days": 98})


@pytest.mark.parametrize("name", ["logistic", "forest_balanced", "boosting", "boosting_balanced"])
def test_a_code_is_rated_no_better_than_one_late_payment(
    name: str, splits: dict[str, LabelledRows]
) -> None:
    """That holds also for unused credit, which no coded borrower in the data has."""
    rows = splits["train"]
    pipeline = train.fit_pipeline(
        name, features(rows.records)["numbers"], np.array(rows.labels), **SMALL
    )
    others = [
        BORROWER.model_copy(update={"utilization": used, "age": age, "late_90_days": 0})
        for used in (0.0, 0.3, 0.7, 1.0, 2.0)
        for age in (25, 45, 75)
    ]
    coded = [each.model_copy(update=CODED) for each in others]
    late, with_code = (
        pipeline.predict_proba(features(each)["numbers"])[:, 1] for each in (others, coded)
    )
    assert (with_code >= late).all(), (with_code, late)


def test_an_unknown_income_is_not_an_income_of_zero() -> None:
    unknown, zero = (
        named(BORROWER.model_copy(update={"monthly_income": income})) for income in (None, 0.0)
    )
    assert (unknown["income_unknown"], zero["income_unknown"]) == (1, 0)
    assert np.isnan(unknown["debt_ratio"])
    assert zero["debt_ratio"] == 5
    with pytest.raises(ValidationError, match="age"):
        Borrower.model_validate(BORROWER.model_dump() | {"age": 0})


def test_smote_balances_the_classes_between_neighbours() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0.0], [100.0, 0.0]])
    rare = np.concatenate([corner + rng.normal(0, 0.1, (20, 2)) for corner in corners])
    numbers = np.concatenate([rng.normal(50, 5, (400, 2)), rare])
    defaulted = np.arange(440) >= 400
    columns, labels = train.smote(numbers, defaulted, seed=1)
    assert labels.sum() == (~labels).sum() == 400
    assert (columns[:440] == numbers).all()
    synthetic = columns[440:]
    # New rows lie between neighbours, so never between the two corners.
    away = np.abs(synthetic[:, None] - corners).max(axis=2).min(axis=1)
    assert away.max() < 0.5
    assert len(np.unique(synthetic, axis=0)) == len(synthetic)
    with pytest.raises(ValueError, match="got 3"):
        train.smote(numbers[:403], defaulted[:403] | (np.arange(403) >= 400), seed=1)


def test_synthetic_defaults_are_used_for_fitting_only(
    small: tuple[np.ndarray, np.ndarray],
    splits: dict[str, LabelledRows],
    tmp_path: Path,
    monkeypatch,
) -> None:
    """SMOTE sees only the first of three parts, 60 % of the rows."""
    seen = []

    def recording_smote(numbers: np.ndarray, defaulted: np.ndarray, *, seed: int):
        seen.append(len(numbers))
        return numbers, defaulted

    monkeypatch.setattr(train, "smote", recording_smote)
    train.fit(train=splits["train"].head(4000), weights=tmp_path, **SMALL)
    assert seen == [2400] * 3


def test_the_threshold_is_not_tuned_on_the_rows_it_is_evaluated_on(
    splits: dict[str, LabelledRows], tmp_path: Path, monkeypatch
) -> None:
    """Flipped labels of the third part change neither a calibration nor a threshold."""
    rows = splits["train"].head(4000)
    parts = []

    def recording_split(*arrays, **options):
        parts.append(train_test_split(*arrays, **options))
        return parts[-1]

    monkeypatch.setattr(train, "train_test_split", recording_split)
    one = train.fit(train=rows, weights=tmp_path, **SMALL)
    again = iter(list(parts))
    # The parts are stratified by label, so they would change with the labels.
    monkeypatch.setattr(train, "train_test_split", lambda *_, **__: next(again))
    flipped = np.array(rows.labels)
    flipped[parts[1][1]] ^= True
    other = train.fit(train=LabelledRows(rows.records, flipped.tolist()), weights=tmp_path, **SMALL)
    for known, changed in zip(one.candidates, other.candidates, strict=True):
        assert known.parameters == changed.parameters
        assert known.metrics["cost"] != changed.metrics["cost"]
    served = json.loads((tmp_path / "decision.json").read_text())
    assert served in [each.parameters for each in one.candidates]


def test_costs_match_hand_computed_values() -> None:
    defaulted = np.array([True, True, False, False, False])
    refused = np.array([True, False, True, False, False])
    assert metrics.cost(refused, defaulted) == (LOSS_OF_DEFAULT + LOST_MARGIN) / 5
    y_prob = np.array([0.9, 0.32, 0.3, 0.2, 0.1])
    assert 0.3 < train.cheapest_threshold(y_prob, defaulted) <= 0.32


def test_true_probabilities_cost_least_at_elkans_threshold() -> None:
    rng = np.random.default_rng(2)
    y_prob = rng.beta(0.5, 5, 200_000)
    defaulted = rng.random(len(y_prob)) < y_prob
    assert train.cheapest_threshold(y_prob, defaulted) == pytest.approx(report.ELKAN, abs=0.021)
    at = risks(np.array([report.ELKAN]), 0.1)[0]
    assert at.cost_if_granted == pytest.approx(at.cost_if_refused)


def test_calibration_undoes_class_weights() -> None:
    rng = np.random.default_rng(3)
    true_prob = rng.beta(0.5, 6, 60_000)
    defaulted = rng.random(len(true_prob)) < true_prob
    weighted = 12 * true_prob / (12 * true_prob + 1 - true_prob)
    recalibrated = calibrated(weighted, *platt(log_odds(weighted), defaulted))
    assert weighted.mean() > 3 * defaulted.mean()
    assert recalibrated.mean() == pytest.approx(defaulted.mean(), abs=0.003)
    assert np.abs(recalibrated - true_prob).mean() < 0.01


@pytest.mark.parametrize(
    "name", ["logistic_balanced", "forest_smote", "boosting", "boosting_smote"]
)
def test_the_exported_graph_predicts_as_the_fitted_candidate(
    name: str, small: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    numbers, defaulted = small
    fitted = train.fit_pipeline(name, numbers, defaulted, **SMALL)
    export_onnx(fitted, {"numbers": len(NUMBERS)}, tmp_path)
    served = OnnxRuntimeGraph(tmp_path / "model.onnx").run({"numbers": numbers})["probabilities"]
    apart = np.abs(served - fitted.predict_proba(numbers)).max(axis=1)
    assert (apart < 1e-5).mean() > 0.999


def test_a_candidate_is_described_by_its_calibrated_probabilities() -> None:
    rng = np.random.default_rng(4)
    raw = rng.beta(0.5, 4, 6000)
    defaulted = rng.random(len(raw)) < raw**2
    tuned, held_out = np.arange(4000), np.arange(4000, 6000)
    candidate = train.evaluate_candidate("logistic", raw, defaulted, tuned, held_out)
    decision = candidate.parameters
    y_prob = calibrated(raw[held_out], decision["slope"], decision["intercept"])
    expected = binary_metrics(defaulted[held_out], "calibration_error", y_prob=y_prob)
    assert report.describe(candidate) == pytest.approx(expected)
    spent = metrics.costs(y_prob >= decision["threshold"], defaulted[held_out])
    assert candidate.metrics["cost"] == spent.mean()
    assert list(candidate.metrics)[-1] == "cost_se"
    assert candidate.metrics["cost_se"] == pytest.approx(spent.std() / np.sqrt(2000), rel=1e-3)
