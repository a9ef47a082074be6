"""Logistic regression and trees, weighted for class imbalance or not, by cross-validation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.tabular import export_onnx, together

from .model import CATEGORIES, NUMBERS, Passenger, Survival, features, survivals

SCORES = ("accuracy", "recall", "f1", "roc_auc")


def estimators(seed: int) -> dict[str, object]:
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


def fit(
    *, train: Examples[Passenger, bool], weights: Path, seed: int, folds: int, repeats: int
) -> Fitted:
    """Choose by cross-validated accuracy, and fit the chosen on all training rows."""
    columns, survived = together(features(train.records)), np.array(train.truths)
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    tried = []
    for name, estimator in estimators(seed).items():
        scores = cross_validate(pipeline(estimator), columns, survived, cv=splits, scoring=SCORES)
        metrics = {name: float(scores[f"test_{name}"].mean()) for name in SCORES}
        metrics["accuracy_std"] = float(scores["test_accuracy"].std())
        tried.append(Candidate(name, metrics, {"estimator": type(estimator).__name__}))
    chosen = max(tried, key=lambda each: each.metrics["accuracy"]).name
    best = pipeline(estimators(seed)[chosen]).fit(columns, survived)
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)

    def native(passengers: list[Passenger]) -> list[Survival]:
        return survivals(best.predict_proba(together(features(passengers)))[:, 1])

    return Fitted(tried, chosen, native)


def score(*, answers: list[Survival], truths: list[bool]) -> dict[str, float]:
    told, decided = [each.probability for each in answers], [each.survived for each in answers]
    names = ("accuracy", "precision", "recall", "f1", "roc_auc")
    return measures.of_forecasts(truths, *names, told=told, decided=decided)


def family_size(passenger: Passenger) -> str:
    """Seven and more are one group: 25 of all 891."""
    people = 1 + passenger.siblings_spouses + passenger.parents_children
    return str(people) if people < 7 else "7+"


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    truths = evaluation.test.truths
    figure, (left, right) = plots.panels(2)
    plots.confusion(left, truths, [each.survived for each in evaluation.answers], [False, True])
    plots.roc(right, truths, [each.probability for each in evaluation.answers])
    yield "errors", figure
    figure, axes = plots.panels(3)
    told = {
        "sex": [each.sex for each in evaluation.train.records],
        "class": [str(each.passenger_class) for each in evaluation.train.records],
        "family size": [family_size(each) for each in evaluation.train.records],
    }
    for panel, (name, values) in zip(axes, told.items(), strict=True):
        plots.share(panel, values, evaluation.train.truths, f"Survived, by {name}")
    yield "survival", figure
