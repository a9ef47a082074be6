"""Train linear and non-linear models on all findings or selected ones, with recall first.

Each candidate is measured twice: on patients of known hospitals (stratified folds) and on patients
of a hospital left out. Hospitals differ in what they measured and in the share of sick patients, so
a model can learn the hospital from the gaps. That helps over all rows, but not inside a hospital.
Feature selection is part of the pipeline, so it never sees the rows that it is evaluated on. The
simplest candidate whose Brier score at left-out hospitals lies within one standard error of the
best is served.
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import sem
from sklearn.base import ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import RFE, SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.candidates import BASELINE
from slipway.training.selection import simplest_within_error
from slipway.training.tabular import export_onnx

from .metrics import referral_metrics
from .model import NUMBERS, HeartRisk, Patient, features, risks

# With gaps as features a model can learn the hospital: this one is shown, never served.
LEAKING = "logistic_with_gaps"


def pipeline(
    estimator: ClassifierMixin, *, select: object | None = None, gaps: bool = False
) -> Pipeline:
    """Return a pipeline that fills gaps with the mean, scales (except for trees) and selects.

    A gap filled with the mean does not move the prediction of a linear model.
    """
    steps: list[object] = [SimpleImputer(strategy="mean", add_indicator=gaps)]
    if not isinstance(estimator, RandomForestClassifier):
        steps.append(StandardScaler())
    if select is not None:
        steps.append(select)
    # A copy, so that fitting one pipeline leaves others with the same estimator unchanged.
    return clone(make_pipeline(*steps, estimator))


def pipelines(seed: int, keep: int, trees: int) -> dict[str, Pipeline]:
    """Return the candidates from the simplest to the most complex.

    Linear models come before kernels, and kernels before trees. Within a kind, fewer columns come
    first; recursive elimination, which fits many models to select, follows one score per column.
    """

    def svm(kernel: str) -> ClassifierMixin:
        # Platt scaling turns distances from the boundary into probabilities.
        return CalibratedClassifierCV(SVC(kernel=kernel, C=0.5), ensemble=False, cv=5)

    logistic, kbest = LogisticRegression(C=0.1, max_iter=2000), SelectKBest(f_classif, k=keep)
    forest = RandomForestClassifier(
        trees, min_samples_leaf=5, max_features="sqrt", random_state=seed
    )
    return {
        # Predicts the share of sick patients for everybody.
        "baseline": pipeline(DummyClassifier(strategy="prior")),
        "logistic_kbest": pipeline(logistic, select=kbest),
        "logistic_rfe": pipeline(logistic, select=RFE(logistic, n_features_to_select=keep)),
        "logistic": pipeline(logistic),
        LEAKING: pipeline(logistic, gaps=True),
        "svm_linear": pipeline(svm("linear")),
        "svm_rbf_kbest": pipeline(svm("rbf"), select=kbest),
        "svm_rbf": pipeline(svm("rbf")),
        "forest_kbest": pipeline(forest, select=kbest),
        "forest": pipeline(forest),
    }


def within(probabilities: np.ndarray, sick: np.ndarray, groups: np.ndarray) -> float:
    """Return the mean area under the ROC curve inside each group, weighted by the group's rows.

    Across groups, the order of hospitals would count too, which says nothing about the patient.
    """
    every = [groups == group for group in np.unique(groups)]
    known = [rows for rows in every if 0 < sick[rows].sum() < rows.sum()]
    areas = [roc_auc_score(sick[rows], probabilities[rows]) for rows in known]
    return float(np.average(areas, weights=[rows.sum() for rows in known]))


def threshold_for(recall: float, probabilities: np.ndarray, sick: np.ndarray) -> float:
    """Return the highest threshold that still refers the share `recall` of the sick.

    Raises:
        ValueError: nobody is sick, or `recall` is not above 0 and at most 1.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    if not sick.any():
        raise ValueError("a threshold for a recall needs at least one sick patient")
    falling = np.sort(probabilities[sick])[::-1]
    return float(falling[int(np.ceil(recall * len(falling))) - 1])


def at_new_hospitals(
    probabilities: np.ndarray, sick: np.ndarray, hospitals: np.ndarray, threshold: float
) -> dict[str, float]:
    """Return metrics of the threshold on patients (rows,) of hospitals that the model never saw."""
    metrics = referral_metrics(probabilities, sick, threshold)
    referred = probabilities >= threshold
    recalls = [referred[sick & (hospitals == each)].mean() for each in np.unique(hospitals[sick])]
    return {
        "brier_new_hospital": metrics["brier"],
        "recall_new_hospital": metrics["recall"],
        "recall_new_hospital_least": float(min(recalls)),
        "specificity_new_hospital": metrics["specificity"],
    }


def fit(
    *,
    train: LabelledRows[Patient, bool],
    weights: Path,
    seed: int,
    folds: int,
    keep: int,
    trees: int,
    wanted_recall: float,
) -> Fitted:
    """Choose by the Brier score at left-out hospitals; set the threshold on left-out rows.

    The Brier score is a mean over patients, so its standard error is that of their squared errors.
    """
    numbers, sick = features(train.records)["numbers"], np.array(train.labels)
    hospitals = np.array([each.hospital for each in train.records])
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    tried, thresholds = [], {}
    for name, candidate in pipelines(seed, keep, trees).items():
        y_prob = cross_val_predict(candidate, numbers, sick, cv=splits, method="predict_proba")[
            :, 1
        ]
        # Each prediction comes from a model that saw no patient of that hospital.
        at_unseen = cross_val_predict(
            candidate,
            numbers,
            sick,
            groups=hospitals,
            cv=LeaveOneGroupOut(),
            method="predict_proba",
        )[:, 1]
        thresholds[name] = threshold_for(wanted_recall, y_prob, sick)
        metrics = {
            "roc_auc_inside": within(y_prob, sick, hospitals),
            "roc_auc_new_hospital": within(at_unseen, sick, hospitals),
            **at_new_hospitals(at_unseen, sick, hospitals, thresholds[name]),
            **referral_metrics(y_prob, sick, thresholds[name]),
            "brier_new_hospital_se": float(sem((at_unseen - sick) ** 2)),
        }
        selects = name.endswith(("_kbest", "_rfe"))
        tried.append(Candidate(name, metrics, {"columns": keep if selects else len(NUMBERS)}))
    served = [each for each in tried if each.name not in (BASELINE, LEAKING)]
    chosen = simplest_within_error(served, "brier_new_hospital", best="lowest").name
    best, threshold = pipelines(seed, keep, trees)[chosen].fit(numbers, sick), thresholds[chosen]
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / "threshold.json").write_text(json.dumps({"threshold": threshold}) + "\n")

    def framework_predict(patients: list[Patient]) -> list[HeartRisk]:
        probabilities = best.predict_proba(features(patients)["numbers"])[:, 1]
        return risks(patients, probabilities, threshold)

    return Fitted(tried, chosen, framework_predict)
