"""Heart disease: gaps stay unknown, the hospital is no feature, and the recall is reached."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from pipelines.ml.heart_disease import data, train
from pipelines.ml.heart_disease.model import NUMBERS, Patient, features, risks
from slipway.contract.graph import OnnxRuntimeGraph
from slipway.datasets import fetch
from slipway.training import LabelledRows
from slipway.training.tabular import export_onnx

PATIENT = Patient(age=60, sex="male", chest_pain="none", hospital="switzerland")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_csv(fetch("heart_disease_4_sites").path("heart_disease_uci.csv"))


@pytest.fixture(scope="module")
def splits() -> dict[str, LabelledRows]:
    pairs = data.splits(fetch("heart_disease_4_sites"), seed=4, test_share=0.25)
    return {name: LabelledRows(*map(list, zip(*rows, strict=True))) for name, rows in pairs.items()}


def test_no_patient_is_in_both_splits(splits: dict[str, LabelledRows]) -> None:
    sides = [
        {(*each.model_dump().values(), sick) for each, sick in splits[name]}
        for name in ("train", "test")
    ]
    assert not sides[0] & sides[1]
    assert sum(len(each) for each in sides) == 918


def test_a_zero_that_means_unmeasured_becomes_unknown(
    frame: pd.DataFrame, splits: dict[str, LabelledRows]
) -> None:
    raw = frame["chol"].eq(0)
    assert (frame.loc[raw, "num"] > 0).mean() > 0.85
    patients = splits["train"].records + splits["test"].records
    swiss = [each for each in patients if each.hospital == "switzerland"]
    assert len(swiss) == 123
    assert all(each.cholesterol is None for each in swiss)
    with pytest.raises(ValidationError, match="cholesterol"):
        Patient(age=60, sex="male", chest_pain="none", cholesterol=0)


def test_the_misplaced_patient_is_in_hungary(splits: dict[str, LabelledRows]) -> None:
    patients = splits["train"].records + splits["test"].records
    counts = pd.Series([each.hospital for each in patients]).value_counts()
    # One duplicate is dropped from Hungary's 294 and one from Long Beach's 200.
    assert counts.to_dict() == {
        "cleveland": 303,
        "hungary": 293,
        "long_beach": 199,
        "switzerland": 123,
    }


def test_the_hospital_and_the_gaps_are_not_features() -> None:
    other = PATIENT.model_copy(update={"hospital": "cleveland"})
    np.testing.assert_array_equal(features([PATIENT])["numbers"], features([other])["numbers"])
    assert not any("hospital" in name or "missing" in name for name in NUMBERS)


def test_an_unmeasured_value_is_unknown_and_not_zero() -> None:
    named = dict(zip(NUMBERS, features([PATIENT])["numbers"][0], strict=True))
    known = {name for name, value in named.items() if not np.isnan(value)}
    pains = {"chest_pain_typical", "chest_pain_atypical", "chest_pain_none"}
    assert known == {"age", "sex_male", *pains}
    prediction = risks([PATIENT], np.array([0.3]), 0.3)[0]
    assert (prediction.unmeasured, prediction.refer) == (10, True)
    assert features([])["numbers"].shape == (0, len(NUMBERS))


@pytest.mark.parametrize("recall", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_is_the_highest_that_reaches_the_recall(recall: float) -> None:
    rng = np.random.default_rng(0)
    sick = rng.random(400) < 0.4
    y_prob = rng.normal(sick, 1)
    threshold = train.threshold_for(recall, y_prob, sick)
    assert (y_prob[sick] >= threshold).mean() >= recall
    higher = y_prob[y_prob > threshold].min()
    assert (y_prob[sick] >= higher).mean() < recall or threshold == y_prob[~sick].max()


def test_a_threshold_without_any_sick_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sick"):
        train.threshold_for(0.9, np.array([0.2]), np.array([False]))
    with pytest.raises(ValueError, match="got 1.2"):
        train.threshold_for(1.2, np.array([0.2]), np.array([True]))


def test_a_model_that_knows_only_the_hospital_ranks_at_random_inside_one() -> None:
    groups = np.repeat(["a", "b"], 200)
    sick = np.random.default_rng(0).random(400) < np.where(groups == "a", 0.9, 0.2)
    y_prob = np.where(groups == "a", 0.9, 0.2)
    assert roc_auc_score(sick, y_prob) > 0.8
    assert train.within(y_prob, sick, groups) == 0.5


def test_the_least_recall_is_that_of_the_worst_hospital() -> None:
    hospitals = np.repeat(["a", "b", "c"], 4)
    sick = np.array([1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    y_prob = np.array([0.9, 0.2, 0.9, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    metrics = train.at_new_hospitals(y_prob, sick, hospitals, 0.5)
    assert metrics["recall_new_hospital"] == pytest.approx(4 / 5)
    assert metrics["recall_new_hospital_least"] == 0.5
    assert metrics["specificity_new_hospital"] == pytest.approx(6 / 7)


def test_candidates_go_from_the_simplest_to_the_most_complex() -> None:
    names = list(train.pipelines(0, 8, 5))
    assert names.index("logistic_kbest") < names.index("logistic") < names.index("svm_linear")
    assert names.index("svm_linear") < names.index("svm_rbf_kbest") < names.index("svm_rbf")
    assert names.index("svm_rbf") < names.index("forest_kbest") < names.index("forest")


def test_selection_sees_no_row_that_it_is_evaluated_on() -> None:
    """Random columns selected on all rows would seem to predict the labels."""
    rng = np.random.default_rng(3)
    numbers, sick = rng.normal(size=(80, 600)), rng.random(80) < 0.5
    splits = train.StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    pipeline = train.pipelines(0, 8, 5)["logistic_kbest"]
    y_prob = train.cross_val_predict(pipeline, numbers, sick, cv=splits, method="predict_proba")[
        :, 1
    ]
    assert 0.3 < roc_auc_score(sick, y_prob) < 0.65
    picked = train.SelectKBest(train.f_classif, k=8).fit_transform(numbers, sick)
    plain = train.pipelines(0, 8, 5)["logistic"]
    leaked = train.cross_val_predict(plain, picked, sick, cv=splits, method="predict_proba")[:, 1]
    assert roc_auc_score(sick, leaked) > 0.8


@pytest.mark.parametrize(
    "name", sorted(train.pipelines(0, 8, 5).keys() - {"baseline", train.LEAKING})
)
def test_the_exported_graph_predicts_as_the_fitted_candidate(
    name: str, splits: dict[str, LabelledRows], tmp_path: Path
) -> None:
    numbers, sick = features(splits["train"].records)["numbers"], splits["train"].labels
    fitted = train.pipelines(0, 8, 20)[name].fit(numbers, sick)
    export_onnx(fitted, {"numbers": len(NUMBERS)}, tmp_path)
    served = OnnxRuntimeGraph(tmp_path / "model.onnx").run({"numbers": numbers})["probabilities"]
    assert served == pytest.approx(fitted.predict_proba(numbers), abs=1e-5)
