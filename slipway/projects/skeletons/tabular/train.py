"""Compare logistic regression with the most frequent species by cross-validation."""

from pathlib import Path

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .model import SPECIES, Flower, Species, features, species


def pipelines() -> dict[str, Pipeline]:
    """Return the candidates from the simplest to the most complex."""
    return {
        "baseline": make_pipeline(DummyClassifier(strategy="most_frequent")),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }


def fit(*, train: LabelledRows[Flower, str], weights: Path, folds: int) -> Fitted:
    """Choose by cross-validated accuracy, and fit the chosen candidate on all training rows."""
    lengths = features(train.records)["numbers"]
    kinds = np.array([SPECIES.index(label) for label in train.labels])
    tried = []
    for name, pipeline in pipelines().items():
        scores = cross_val_score(pipeline, lengths, kinds, cv=folds)
        metrics = {"accuracy": float(scores.mean()), "accuracy_se": fold_error(scores)}
        tried.append(Candidate(name, metrics))
    chosen = simplest_within_error(tried, "accuracy", best="highest").name
    best = pipelines()[chosen].fit(lengths, kinds)
    export_onnx(best, {"numbers": 4}, weights)

    def framework_predict(flowers: list[Flower]) -> list[Species]:
        return species(best.predict_proba(features(flowers)["numbers"]))

    return Fitted(tried, chosen, framework_predict)
