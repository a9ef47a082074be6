"""Loan default: SMOTE, costs and calibration by hand, and nothing that tells too much."""

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
from slipway.training import Examples
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
def splits() -> dict[str, Examples]:
    made = data.splits(fetch("give_me_some_credit"), seed=6, test_share=0.25, one_in=1)
    return {name: Examples(*map(list, zip(*rows, strict=True))) for name, rows in made.items()}


@pytest.fixture(scope="module")
def small(splits: dict[str, Examples]) -> tuple[np.ndarray, np.ndarray]:
    rows = splits["train"].head(4000)
    return features(rows.records)["numbers"], np.array(rows.truths)


def named(borrower: Borrower) -> dict[str, float]:
    return dict(zip(NUMBERS, features([borrower])["numbers"][0].tolist(), strict=True))


def test_nobody_is_on_both_sides(splits: dict[str, Examples]) -> None:
    train_side, test_side = (
        {tuple(each.model_dump().values()) for each in splits[name].records}
        for name in ("train", "test")
    )
    assert not train_side & test_side
    assert len(train_side) + len(test_side) == len(splits["train"]) + len(splits["test"])


def test_debt_does_not_tell_whether_the_income_is_known(splits: dict[str, Examples]) -> None:
    raw = pd.read_csv(fetch("give_me_some_credit").path("creditscoring1.csv.gz"))
    unknown = raw["MonthlyIncome"].isna()
    assert raw.loc[unknown, "DebtRatio"].median() > 1000 * raw.loc[~unknown, "DebtRatio"].median()
    debts: dict[bool, list[float]] = {True: [], False: []}
    for each in splits["train"].records:
        debts[each.monthly_income is None].append(each.monthly_debt)
    assert 0.3 < np.median(debts[True]) / np.median(debts[False]) < 3


def test_features_are_worked_out_by_hand() -> None:
    told = named(BORROWER)
    assert (told["late_in_all"], told["coded"], told["debt_ratio"]) == (3, 0, 0.25)
    assert told["income_a_head"] == pytest.approx(np.log1p(2000), abs=1e-4)


def test_a_code_of_the_bureau_is_no_count() -> None:
    told = named(BORROWER.model_copy(update=CODED))
    assert told["coded"] == 1
    assert all(np.isnan(told[f"late_{kind}"]) for kind in ("30_days", "90_days", "in_all"))
    with pytest.raises(ValidationError, match="in all three"):
        Borrower.model_validate(BORROWER.model_dump() | {"late_90_days": 98})


@pytest.mark.parametrize("name", ["logistic", "forest_balanced", "boosting", "boosting_balanced"])
def test_a_code_is_no_better_than_one_late_payment(name: str, splits: dict[str, Examples]) -> None:
    """Other things equal, also where no coded borrower was ever seen: all used all their credit."""
    rows = splits["train"]
    made = train.fitted(name, features(rows.records)["numbers"], np.array(rows.truths), **SMALL)
    others = [
        BORROWER.model_copy(update={"utilization": used, "age": age, "late_90_days": 0})
        for used in (0.0, 0.3, 0.7, 1.0, 2.0)
        for age in (25, 45, 75)
    ]
    coded = [each.model_copy(update=CODED) for each in others]
    late, told = (made.predict_proba(features(each)["numbers"])[:, 1] for each in (others, coded))
    assert (told >= late).all(), (told, late)


def test_an_unknown_income_is_no_income_of_nought() -> None:
    unknown, nought = (
        named(BORROWER.model_copy(update={"monthly_income": income})) for income in (None, 0.0)
    )
    assert (unknown["income_unknown"], nought["income_unknown"]) == (1, 0)
    assert np.isnan(unknown["debt_ratio"])
    assert nought["debt_ratio"] == 5
    with pytest.raises(ValidationError, match="age"):
        Borrower.model_validate(BORROWER.model_dump() | {"age": 0})


def test_smote_evens_the_classes_between_neighbours() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0.0], [100.0, 0.0]])
    rare = np.concatenate([corner + rng.normal(0, 0.1, (20, 2)) for corner in corners])
    numbers = np.concatenate([rng.normal(50, 5, (400, 2)), rare])
    defaulted = np.arange(440) >= 400
    columns, truths = train.smote(numbers, defaulted, seed=1)
    assert truths.sum() == (~truths).sum() == 400
    assert (columns[:440] == numbers).all()
    made = columns[440:]
    # Between neighbours, so never on the way from one corner to the other.
    away = np.abs(made[:, None] - corners).max(axis=2).min(axis=1)
    assert away.max() < 0.5
    assert len(np.unique(made, axis=0)) == len(made)
    with pytest.raises(ValueError, match="got 3"):
        train.smote(numbers[:403], defaulted[:403] | (np.arange(403) >= 400), seed=1)


def test_made_up_defaults_are_only_learnt_from(
    small: tuple[np.ndarray, np.ndarray], splits: dict[str, Examples], tmp_path: Path, monkeypatch
) -> None:
    """SMOTE sees the first of three parts alone: 60 % of the rows."""
    seen = []

    def witness(numbers: np.ndarray, defaulted: np.ndarray, *, seed: int):
        seen.append(len(numbers))
        return numbers, defaulted

    monkeypatch.setattr(train, "smote", witness)
    train.fit(train=splits["train"].head(4000), weights=tmp_path, **SMALL)
    assert seen == [2400] * 3


def test_the_threshold_is_not_tuned_on_the_rows_it_is_judged_on(
    splits: dict[str, Examples], tmp_path: Path, monkeypatch
) -> None:
    """Of the third part's truths no calibration and no threshold knows: they are turned round."""
    rows = splits["train"].head(4000)
    parts = []

    def parted(*asked, **how):
        parts.append(train_test_split(*asked, **how))
        return parts[-1]

    monkeypatch.setattr(train, "train_test_split", parted)
    one = train.fit(train=rows, weights=tmp_path, **SMALL)
    again = iter(list(parts))
    # The parts would change with the truths, by which they are stratified.
    monkeypatch.setattr(train, "train_test_split", lambda *_, **__: next(again))
    turned = np.array(rows.truths)
    turned[parts[1][1]] ^= True
    other = train.fit(train=Examples(rows.records, turned.tolist()), weights=tmp_path, **SMALL)
    for known, changed in zip(one.candidates, other.candidates, strict=True):
        assert known.parameters == changed.parameters
        assert known.metrics["cost"] != changed.metrics["cost"]
    served = json.loads((tmp_path / "decision.json").read_text())
    assert served in [each.parameters for each in one.candidates]


def test_costs_are_counted_by_hand() -> None:
    defaulted = np.array([True, True, False, False, False])
    refused = np.array([True, False, True, False, False])
    assert metrics.cost(refused, defaulted) == (LOSS_OF_DEFAULT + LOST_MARGIN) / 5
    told = np.array([0.9, 0.32, 0.3, 0.2, 0.1])
    assert 0.3 < train.cheapest(told, defaulted) <= 0.32


def test_true_probabilities_are_cheapest_at_the_threshold_of_the_costs() -> None:
    rng = np.random.default_rng(2)
    told = rng.beta(0.5, 5, 200_000)
    defaulted = rng.random(len(told)) < told
    assert train.cheapest(told, defaulted) == pytest.approx(report.ELKAN, abs=0.021)
    at = risks(np.array([report.ELKAN]), 0.1)[0]
    assert at.cost_if_granted == pytest.approx(at.cost_if_refused)


def test_calibration_takes_back_what_weights_did() -> None:
    rng = np.random.default_rng(3)
    truth = rng.beta(0.5, 6, 60_000)
    defaulted = rng.random(len(truth)) < truth
    weighted = 12 * truth / (12 * truth + 1 - truth)
    mended = calibrated(weighted, *platt(log_odds(weighted), defaulted))
    assert weighted.mean() > 3 * defaulted.mean()
    assert mended.mean() == pytest.approx(defaulted.mean(), abs=0.003)
    assert np.abs(mended - truth).mean() < 0.01


@pytest.mark.parametrize(
    "name", ["logistic_balanced", "forest_smote", "boosting", "boosting_smote"]
)
def test_any_candidate_is_served_as_it_was_trained(
    name: str, small: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    numbers, defaulted = small
    made = train.fitted(name, numbers, defaulted, **SMALL)
    export_onnx(made, {"numbers": len(NUMBERS)}, tmp_path)
    told = OnnxRuntimeGraph(tmp_path / "model.onnx").run({"numbers": numbers})["probabilities"]
    apart = np.abs(told - made.predict_proba(numbers)).max(axis=1)
    assert (apart < 1e-5).mean() > 0.999


def test_a_candidate_is_described_by_its_calibrated_probabilities() -> None:
    rng = np.random.default_rng(4)
    raw = rng.beta(0.5, 4, 6000)
    defaulted = rng.random(len(raw)) < raw**2
    tuned, judged = np.arange(4000), np.arange(4000, 6000)
    candidate = train.decided("logistic", raw, defaulted, tuned, judged)
    decision = candidate.parameters
    y_prob = calibrated(raw[judged], decision["slope"], decision["intercept"])
    wanted = binary_metrics(defaulted[judged], "calibration_error", y_prob=y_prob)
    assert report.describe(candidate) == pytest.approx(wanted)
    spent = metrics.costs(y_prob >= decision["threshold"], defaulted[judged])
    assert candidate.metrics["cost"] == spent.mean()
    assert list(candidate.metrics)[-1] == "cost_se"
    assert candidate.metrics["cost_se"] == pytest.approx(spent.std() / np.sqrt(2000), rel=1e-3)
