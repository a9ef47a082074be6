"""Logistic regression and boosted trees, with and without balanced weights, each calibrated.

Every learner is cross-validated with each calibration. The calibration is fitted on
predictions for rows that the learner did not see. The simplest candidate within one standard error
of the best Brier score is served. CatBoost is compared only.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from catboost import CatBoostClassifier  # type: ignore[import-untyped]
from sklearn.base import ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.contract.calibration import log_odds
from slipway.features import lineage
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.boosting_export import export_boosting
from slipway.training.calibration import Reliability
from slipway.training.frames import concatenate_blocks
from slipway.training.platt import platt
from slipway.training.resampled import roc_auc_by_rows
from slipway.training.selection import bootstrap_interval, fold_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import binary_metrics

from .metrics import CALIBRATIONS, by_gain
from .model import (
    CATEGORIES,
    NUMBERS,
    Calibration,
    Churn,
    ChurnRisk,
    Customer,
    Offer,
    features,
    risks,
)

PROTECTED = "boosting_with_gender_and_age"
# CatBoost encodes the categories itself, and its export to ONNX refuses such models.
UNSERVED = "catboost"


class CatBoostOnCategories(CatBoostClassifier):
    """CatBoost that encodes the columns of `CATEGORIES` itself.

    It uses the labels of the rows that come before a row in a random order (Prokhorenkova et al.
    2018). scikit-learn cannot clone a CatBoost whose constructor got the columns.
    """

    def fit(self, X: np.ndarray, y: np.ndarray) -> "CatBoostOnCategories":
        categories = len(NUMBERS) + np.arange(len(CATEGORIES))
        super().fit(X, y, cat_features=categories)
        return self


def learners(seed: int, trees: int) -> dict[str, ClassifierMixin]:
    """Return learners by name, from the simplest to the most complex.

    A linear model is simpler than trees, and equal weights are simpler than balanced ones. For one
    learner, no calibration is simpler than a sigmoid, and a sigmoid is simpler than isotonic steps.
    """
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    # Parameters of all three boosting libraries, and those of LightGBM and XGBoost. With one thread
    # sums, and with them the trees, are the same on every machine.
    shared: dict[str, Any] = {
        "n_estimators": trees,
        "learning_rate": 0.03,
        "subsample": 0.8,
        "reg_lambda": 5.0,
        "random_state": seed,
    }
    common = {**shared, "colsample_bytree": 0.6, "n_jobs": 1}
    boosting = LGBMClassifier(
        **common,
        num_leaves=8,
        min_child_samples=40,
        subsample_freq=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    logistic = LogisticRegression(C=0.3, max_iter=3000)
    return {
        "logistic": logistic,
        "logistic_balanced": clone(logistic).set_params(class_weight="balanced"),
        "boosting": boosting,
        "boosting_balanced": clone(boosting).set_params(class_weight="balanced"),
        "xgboost": XGBClassifier(**common, grow_policy="lossguide", max_leaves=8, max_depth=0),
        # Three cuts, the same for all branches, give eight leaves too.
        "catboost": CatBoostOnCategories(
            **shared,
            max_depth=3,
            colsample_bylevel=0.6,
            thread_count=1,
            allow_writing_files=False,
            verbose=False,
        ),
    }


def pipeline(estimator: ClassifierMixin) -> Pipeline:
    """Return a pipeline that encodes categories, scales numbers for linear models, and predicts.

    Numbers after the categories are passed through.
    """
    if isinstance(estimator, CatBoostOnCategories):
        return make_pipeline("passthrough", estimator)
    last = len(NUMBERS) + len(CATEGORIES)
    scaled = StandardScaler() if isinstance(estimator, LogisticRegression) else "passthrough"
    encoded = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepared = make_column_transformer(
        (scaled, slice(0, len(NUMBERS))),
        (encoded, slice(len(NUMBERS), last)),
        remainder="passthrough",
    )
    return make_pipeline(prepared, estimator)


def calibrator(kind: str, probabilities: np.ndarray, left: np.ndarray) -> Calibration:
    """Return a calibration fitted on out-of-fold probabilities (rows,) and labels (rows,)."""
    if kind == "sigmoid":
        return Calibration(kind, platt(log_odds(probabilities), left))
    if kind == "isotonic":
        steps = IsotonicRegression(out_of_bounds="clip").fit(probabilities, left)
        return Calibration(
            kind, tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist())
        )
    return Calibration(kind)


def out_of_fold(model: Pipeline, columns: np.ndarray, left: np.ndarray, folds: int) -> np.ndarray:
    """Return probabilities (rows,), each from a fit that did not see its row."""
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=0)
    y_prob = cross_val_predict(model, columns, left, cv=splits, method="predict_proba")
    return np.asarray(y_prob[:, 1])


def cross_validate(
    model: Pipeline, columns: np.ndarray, left: np.ndarray, splits: StratifiedKFold
) -> dict[str, np.ndarray]:
    """Return out-of-fold probabilities (rows,) by calibration.

    The calibration is fitted within each training part, on a second round of folds.
    """
    y_prob = {kind: np.empty(len(left)) for kind in CALIBRATIONS}
    for kept, held in splits.split(columns, left):
        inner = out_of_fold(model, columns[kept], left[kept], splits.get_n_splits())
        model.fit(columns[kept], left[kept])
        raw = model.predict_proba(columns[held])[:, 1]
        for kind in CALIBRATIONS:
            y_prob[kind][held] = calibrator(kind, inner, left[kept])(raw)
    return y_prob


def areas_by_age(y_prob: np.ndarray, left: np.ndarray, senior: np.ndarray) -> dict[str, float]:
    """Return the area under the ROC curve below 65 and from 65 on, with its 95 % interval."""
    metrics = {}
    for name, members in (("under_65", ~senior), ("65_or_older", senior)):
        area = roc_auc_by_rows(left[members], y_prob[members])
        rows, metric = int(members.sum()), f"roc_auc_{name}"
        metrics[metric] = area(np.arange(rows))
        metrics[f"{metric}_low"], metrics[f"{metric}_high"] = bootstrap_interval(area, rows, seed=0)
    return metrics


def fit(
    *,
    train: LabelledRows[Customer, bool],
    weights: Path,
    seed: int,
    folds: int,
    trees: int,
    horizon_months: float,
    offer_cost: float,
    success_rate: float,
) -> Fitted:
    """Choose by cross-validated Brier score, and fit the chosen candidate on all training rows.

    The baseline and the candidate with the protected fields are compared and never served.
    """
    columns, left = concatenate_blocks(features(train.records)), np.array(train.labels)
    monthly = np.array([each.monthly_charges for each in train.records])
    offer = Offer(horizon_months, offer_cost, success_rate)
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    estimators = learners(seed, trees)
    # The baseline predicts the share of all who left for each customer.
    prior = cross_val_predict(DummyClassifier(), columns, left, cv=splits, method="predict_proba")
    by_name = {"baseline": (prior[:, 1], {"estimator": "prior"})}
    options = {}
    for learner, estimator in estimators.items():
        for kind, y_prob in cross_validate(pipeline(estimator), columns, left, splits).items():
            name = f"{learner}_{kind}".removesuffix("_none")
            options[name] = (learner, kind)
            by_name[name] = y_prob, {"estimator": type(estimator).__name__, "calibration": kind}
    groups = [[each.gender == "female", each.senior_citizen] for each in train.records]
    wider = np.concatenate([columns, np.array(groups, dtype=object)], axis=1)
    y_prob = cross_validate(pipeline(estimators["boosting"]), wider, left, splits)["none"]
    parameters = {
        "estimator": type(estimators["boosting"]).__name__,
        "fields": "the protected ones too",
    }
    by_name[PROTECTED] = y_prob, parameters
    candidates = []
    for name, (y_prob, parameters) in by_name.items():
        parts = [
            brier_score_loss(left[held], y_prob[held]) for _, held in splits.split(y_prob, left)
        ]
        curve, called = by_gain(y_prob, left, monthly, offer)
        names = ("brier", "log_loss", "roc_auc", "average_precision")
        metrics = binary_metrics(left, *names, y_prob=y_prob)
        metrics |= {"brier_std": float(np.std(parts)), "profit": float(curve[called])}
        metrics |= {"brier_se": fold_error(parts)}
        bins = {
            key: each.tolist()
            for key, each in vars(Reliability.from_predictions(y_prob, left)).items()
        }
        candidates.append(Candidate(name, metrics, parameters, bins))
    served = [name for name, (learner, _) in options.items() if learner != UNSERVED]
    allowed = [each for each in candidates if each.name in served]
    chosen = simplest_within_error(allowed, "brier", best="lowest").name
    senior = np.array([each.senior_citizen for each in train.records])
    candidates = [
        each.with_metrics(areas_by_age(by_name[each.name][0], left, senior))
        if each.name in (chosen, "boosting", PROTECTED)
        else each
        for each in candidates
    ]
    learner, kind = options[chosen]
    best = pipeline(estimators[learner])
    calibration = calibrator(kind, out_of_fold(best, columns, left, folds), left)
    best.fit(columns, left)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)
    (weights / "calibration.json").write_text(json.dumps(asdict(calibration)) + "\n")
    (weights / "offer.json").write_text(json.dumps(asdict(offer)) + "\n")
    assert Churn.looked_up is not None
    lineage.write(Churn.looked_up.service, weights)

    def framework_predict(customers: list[Customer]) -> list[ChurnRisk]:
        raw = best.predict_proba(concatenate_blocks(features(customers)))[:, 1]
        return risks(customers, calibration(raw), offer)

    return Fitted(candidates, chosen, framework_predict)
