"""Logistic regression and trees, weighted for class imbalance or not, by cross-validation.

The simplest candidate within one standard error of the best accuracy is served.
"""

from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Examples, Fitted
from slipway.training.frames import together
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .model import CATEGORIES, NUMBERS, Passenger, Survival, features, survivals

SCORES = ("accuracy", "recall", "f1", "roc_auc")


def estimators(seed: int) -> dict[str, object]:
    """Return the candidates by name, from the simplest: a constant, one weight a column, one tree,
    many trees; balanced class weights are one choice more.
    """
    return {
        "baseline": DummyClassifier(strategy="most_frequent"),
        "logistic": LogisticRegression(C=1.0, max_iter=2000),
        "logistic_balanced": LogisticRegression(C=1.0, max_iter=2000, class_weight="balanced"),
        "decision_tree": DecisionTreeClassifier(max_depth=4, min_samples_leaf=8, random_state=seed),
        "decision_tree_balanced": DecisionTreeClassifier(
            max_depth=4, min_samples_leaf=8, class_weight="balanced", random_state=seed
        ),
        "gradient_boosting": GradientBoostingClassifier(
            n_estimators=120, learning_rate=0.05, max_depth=3, subsample=0.8, random_state=seed
        ),
    }


def pipeline(estimator: object) -> Pipeline:
    """Impute, scale and encode, then `estimator`; numbers first, categories after.

    Trees get their numbers unscaled: scaled in float32 when served and in float64 here, a value
    at a threshold fell on the other side, and probabilities differed by up to 0.04.
    """
    linear = isinstance(estimator, LogisticRegression)
    imputer = SimpleImputer(strategy="median")
    numbers = make_pipeline(imputer, StandardScaler()) if linear else imputer
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    last = len(NUMBERS)
    prepared = ColumnTransformer(
        [
            ("numbers", numbers, slice(0, last)),
            ("categories", categories, slice(last, last + len(CATEGORIES))),
        ]
    )
    return Pipeline([("prepared", prepared), ("estimator", estimator)])


# Sums of floats depend on how threads share them out.
@threadpool_limits.wrap(limits=1)
def fit(
    *, train: Examples[Passenger, bool], weights: Path, seed: int, folds: int, repeats: int
) -> Fitted:
    """Choose by cross-validated accuracy, and fit the chosen candidate on all training rows."""
    columns, survived = together(features(train.records)), np.array(train.truths)
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    tried = []
    for name, estimator in estimators(seed).items():
        scores = cross_validate(pipeline(estimator), columns, survived, cv=splits, scoring=SCORES)
        metrics = {name: float(scores[f"test_{name}"].mean()) for name in SCORES}
        metrics["accuracy_std"] = float(scores["test_accuracy"].std())
        metrics["accuracy_se"] = fold_error(scores["test_accuracy"], folds)
        tried.append(Candidate(name, metrics, {"estimator": type(estimator).__name__}))
    chosen = simplest_within_error(tried, "accuracy", best="highest").name
    best = pipeline(estimators(seed)[chosen]).fit(columns, survived)
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)

    def native(passengers: list[Passenger]) -> list[Survival]:
        return survivals(best.predict_proba(together(features(passengers)))[:, 1])

    return Fitted(tried, chosen, native)
