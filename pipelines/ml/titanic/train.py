"""Train logistic regression and trees, with and without balanced class weights.

The simplest candidate within one standard error of the best cross-validated accuracy is served.
"""

from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway.kits.tabular.study import PipelineStudy
from slipway.training import Fitted, LabelledRows
from slipway.training.frames import concatenate_blocks

from .model import CATEGORIES, NUMBERS, Passenger, Survival, features, survivals

SCORES = ("accuracy", "recall", "f1", "roc_auc")


def estimators(seed: int) -> dict[str, object]:
    """Return the candidates by name, the simplest first.

    The order is: a constant, one weight per column, one tree, many trees. A candidate with balanced
    class weights follows the same one without.
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
    """Return a pipeline that imputes, scales and encodes, then applies `estimator`.

    Its input has the numbers first and the categories after them. Trees get unscaled numbers:
    scaling is float32 in service and float64 here, so a value at a threshold fell on the other
    side, and probabilities differed by up to 0.04.
    """
    linear = isinstance(estimator, LogisticRegression)
    imputer = SimpleImputer(strategy="median")
    numbers = make_pipeline(imputer, StandardScaler()) if linear else imputer
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    last = len(NUMBERS)
    preprocessing = ColumnTransformer(
        [
            ("numbers", numbers, slice(0, last)),
            ("categories", categories, slice(last, last + len(CATEGORIES))),
        ]
    )
    return Pipeline([("prepared", preprocessing), ("estimator", estimator)])


def fit(
    *, train: LabelledRows[Passenger, bool], weights: Path, seed: int, folds: int, repeats: int
) -> Fitted:
    """Choose a candidate by cross-validated accuracy and fit it on all training rows."""
    columns, survived = concatenate_blocks(features(train.records)), np.array(train.labels)
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    candidates = {name: pipeline(each) for name, each in estimators(seed).items()}
    study = PipelineStudy(candidates, SCORES, parameters=parameters)
    study.compare(columns, survived, splits, folds=folds)
    best = study.fit_best(columns, survived)

    def framework_predict(passengers: list[Passenger]) -> list[Survival]:
        return survivals(best.predict_proba(concatenate_blocks(features(passengers)))[:, 1])

    widths = {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}
    return study.export(best, widths, weights, framework_predict)


def parameters(name: str, candidate: Pipeline) -> dict[str, str]:
    return {"estimator": type(candidate["estimator"]).__name__}
