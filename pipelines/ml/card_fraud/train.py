"""Learners that see which payments were frauds, against learners that do not.

All are compared on the first day, by cross-validation; the second day judges the served one once.
It is the simplest with labels within one standard error of the best average precision. Learners
without labels see the frauds among the rest, as they would in a bank.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.contract.calibration import log_odds
from slipway.datasets import fetch
from slipway.training import Candidate, Examples, Fitted
from slipway.training.platt import platt
from slipway.training.selection import bootstrap_error, simplest_within_error
from slipway.training.tabular import export_onnx

from . import model
from .data import connections
from .metrics import RECALLS, figures, spent
from .model import FIELDS, Payment, Verdict, features, verdicts

# The time to fit it grows with the square of the rows.
SVM_ROWS = 4000


class SomeRowsSVM(OneClassSVM):  # type: ignore[misc]
    def fit(self, numbers: np.ndarray, truths: object = None) -> Self:
        return super().fit(numbers[:: max(1, len(numbers) // SVM_ROWS)])  # type: ignore[no-any-return]


class Autoencoder(MLPRegressor):  # type: ignore[misc]
    """Tells a payment through few numbers; what it tells badly is unlike the others."""

    def fit(self, numbers: np.ndarray, truths: object = None) -> Self:
        with warnings.catch_warnings():
            # A few epochs are enough, and not all that it could learn.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().fit(numbers, numbers)  # type: ignore[no-any-return]

    def score_samples(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(-((self.predict(numbers) - numbers) ** 2).mean(axis=1))


def learners(seed: int, trees: int, rounds: int, epochs: int) -> dict[str, Any]:
    """Return learners by name, from the simplest to the most complex of those with labels.

    Simpler is a linear model before trees, and rows weighted alike before balanced ones. Those with
    `predict_proba` learn from labels; the others have `score_samples`.
    """
    boosting = HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=0.06,
        max_leaf_nodes=6,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )
    made = {}
    for name, each in {
        "logistic": LogisticRegression(C=0.1, max_iter=300),
        "boosting": boosting,
    }.items():
        made[name] = each
        made[f"{name}_balanced"] = clone(each).set_params(class_weight="balanced")
    unlabelled = {
        "isolation_forest": IsolationForest(n_estimators=trees, random_state=seed),
        "one_class_svm": SomeRowsSVM(nu=0.02),
        "autoencoder": Autoencoder(
            hidden_layer_sizes=(16, 8, 16), max_iter=epochs, random_state=seed
        ),
    }
    # scikit-learn's name for a rule that looks at no payment.
    found = {"baseline": DummyClassifier(), **made, **unlabelled}
    scaled = ("logistic", "logistic_balanced", "one_class_svm", "autoencoder")
    return {
        name: make_pipeline(StandardScaler(), each) if name in scaled else each
        for name, each in found.items()
    }


def suspicion(learner: Any, numbers: np.ndarray) -> np.ndarray:
    """Log odds of fraud (rows,) of a learner with labels; of others any number, higher is odder."""
    if hasattr(learner, "predict_proba"):
        return log_odds(learner.predict_proba(numbers)[:, 1])
    return np.asarray(-learner.score_samples(numbers))


def held_out(
    learner: Any, numbers: np.ndarray, truths: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """The suspicion (rows,) of each row, by a learner that was fitted on the other folds."""
    scores = np.empty(len(truths))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    # Boosting's threads wait for each other by spinning: on busy cores 30 times slower.
    with threadpool_limits(limits=1):
        for rest, fold in split.split(numbers, truths):
            scores[fold] = suspicion(clone(learner).fit(numbers[rest], truths[rest]), numbers[fold])
    return scores


def precision_error(scores: np.ndarray, frauds: np.ndarray, seed: int) -> float:
    """Return the standard error of the average precision, by resampling the validation rows."""
    return bootstrap_error(resampled_precision(scores, frauds), len(frauds), seed=seed)


def resampled_precision(scores: np.ndarray, frauds: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return a function from row numbers to the average precision over these rows.

    It is scikit-learn's definition, with the rows sorted once for all resamples.
    """
    levels, place = np.unique(-scores, return_inverse=True)

    def average_precision(rows: np.ndarray) -> float:
        flagged = np.bincount(place[rows], minlength=len(levels))
        found = np.bincount(place[rows][frauds[rows]], minlength=len(levels))
        precision = np.cumsum(found) / np.maximum(np.cumsum(flagged), 1)
        return float(found @ precision / max(found.sum(), 1))

    return average_precision


def fit(
    *,
    train: Examples[Payment, bool],
    weights: Path,
    seed: int,
    folds: int,
    real_honest: int,
    **sizes: int,
) -> Fitted:
    """Choose among those with labels by cross-validated average precision; fit it on all rows."""
    numbers, frauds = features(train.records)["numbers"], np.array(train.truths)
    amounts = np.array([each.amount for each in train.records])
    real, attacks = connections(fetch("card_fraud_like"), honest=real_honest, seed=seed)
    tried, lines = [], {}
    for name, learner in learners(seed, **sizes).items():
        scores = held_out(learner, numbers, frauds, folds, seed)
        slope, intercept = lines[name] = platt(scores, frauds)
        cheapest = model.costs(model.sigmoid(slope * scores + intercept), amounts).argmin(axis=1)
        on_real = figures(held_out(learner, real, attacks, folds, seed), attacks)
        metrics = figures(scores, frauds) | {"cost": spent(cheapest, amounts, frauds)}
        metrics["average_precision_http"] = on_real["average_precision"]
        metrics["average_precision_se"] = precision_error(scores, frauds, seed)
        precision, recall, _ = precision_recall_curve(frauds, scores)
        curves = {"precision": np.interp(RECALLS, recall[::-1], precision[::-1]).tolist()}
        labels = hasattr(learner, "predict_proba")
        tried.append(Candidate(name, metrics, {"labels": labels}, curves))
    allowed = [each for each in tried if each.parameters["labels"]]
    chosen = simplest_within_error(allowed, "average_precision", best="highest").name
    with threadpool_limits(limits=1):
        best = learners(seed, **sizes)[chosen].fit(numbers, frauds)
    slope, intercept = lines[chosen]
    usual = np.median(numbers, axis=0).tolist()
    export_onnx(best, {"numbers": len(FIELDS)}, weights)
    decision = {"slope": slope, "intercept": intercept, "usual": usual}
    (weights / "decision.json").write_text(json.dumps(decision, indent=1) + "\n")

    def native(payments: list[Payment]) -> list[Verdict]:
        return verdicts(payments, lambda rows: slope * suspicion(best, rows) + intercept, usual)

    return Fitted(tried, chosen, native)
