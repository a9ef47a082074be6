"""Supervised and unsupervised learners for fraud, compared by cross-validation on the first day.

The simplest supervised learner within one standard error of the best average precision is served;
the second day tests it once. Unsupervised learners see the frauds among the other payments without
their labels, as in a bank.
"""

import json
import warnings
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
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.platt import platt
from slipway.training.resampled import average_precision_by_rows
from slipway.training.selection import bootstrap_error, simplest_within_error
from slipway.training.tabular import export_onnx

from . import model
from .data import connections
from .metrics import CONNECTIONS, RECALLS, cost_of_actions, ranking_metrics
from .model import FIELDS, Payment, Verdict, features, verdicts

# The time to fit an SVM grows with the square of the rows.
SVM_ROWS = 4000


class SomeRowsSVM(OneClassSVM):  # type: ignore[misc]
    """A one-class SVM that is fitted on about 4,000 evenly spaced rows."""

    def fit(self, numbers: np.ndarray, labels: object = None) -> Self:
        return super().fit(numbers[:: max(1, len(numbers) // SVM_ROWS)])  # type: ignore[no-any-return]


class Autoencoder(MLPRegressor):  # type: ignore[misc]
    """An autoencoder; a payment that it reconstructs badly is unlike the others."""

    def fit(self, numbers: np.ndarray, labels: object = None) -> Self:
        with warnings.catch_warnings():
            # A few epochs are enough, although the network has not converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().fit(numbers, numbers)  # type: ignore[no-any-return]

    def score_samples(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(-((self.predict(numbers) - numbers) ** 2).mean(axis=1))


def learners(seed: int, trees: int, rounds: int, epochs: int) -> dict[str, Any]:
    """Return learners by name, the supervised ones from the simplest to the most complex.

    A linear model is simpler than trees, and equal weights are simpler than balanced ones.
    Supervised learners have `predict_proba`, the others `score_samples`.
    """
    boosting = HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=0.06,
        max_leaf_nodes=6,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )
    supervised = {}
    for name, each in {
        "logistic": LogisticRegression(C=0.1, max_iter=300),
        "boosting": boosting,
    }.items():
        supervised[name] = each
        supervised[f"{name}_balanced"] = clone(each).set_params(class_weight="balanced")
    unsupervised = {
        "isolation_forest": IsolationForest(n_estimators=trees, random_state=seed),
        "one_class_svm": SomeRowsSVM(nu=0.02),
        "autoencoder": Autoencoder(
            hidden_layer_sizes=(16, 8, 16), max_iter=epochs, random_state=seed
        ),
    }
    # The baseline is a constant rule.
    every = {"baseline": DummyClassifier(), **supervised, **unsupervised}
    scaled = ("logistic", "logistic_balanced", "one_class_svm", "autoencoder")
    return {
        name: make_pipeline(StandardScaler(), each) if name in scaled else each
        for name, each in every.items()
    }


def suspicion(learner: Any, numbers: np.ndarray) -> np.ndarray:
    """Return the log odds of fraud (rows,), or an outlier score of an unsupervised learner."""
    if hasattr(learner, "predict_proba"):
        return log_odds(learner.predict_proba(numbers)[:, 1])
    return np.asarray(-learner.score_samples(numbers))


def held_out(
    learner: Any, numbers: np.ndarray, labels: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """Return the suspicion of each row (rows,), by a learner that was fitted on the other folds."""
    scores = np.empty(len(labels))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    # Boosting's threads wait for each other by spinning, which is 30 times slower on busy cores.
    with threadpool_limits(limits=1):
        for rest, fold in split.split(numbers, labels):
            scores[fold] = suspicion(clone(learner).fit(numbers[rest], labels[rest]), numbers[fold])
    return scores


def precision_error(scores: np.ndarray, frauds: np.ndarray, seed: int) -> float:
    """Return the standard error of the average precision, by resampling the validation rows."""
    return bootstrap_error(average_precision_by_rows(frauds, scores), len(frauds), seed=seed)


def fit(
    *,
    train: LabelledRows[Payment, bool],
    weights: Path,
    seed: int,
    folds: int,
    real_honest: int,
    **sizes: int,
) -> Fitted:
    """Choose a supervised learner by cross-validated average precision; fit it on all rows."""
    numbers, frauds = features(train.records)["numbers"], np.array(train.labels)
    amounts = np.array([each.amount for each in train.records])
    dataset = fetch("card_fraud_like")
    real = {kind: connections(dataset, kind, honest=real_honest, seed=seed) for kind in CONNECTIONS}
    tried, lines = [], {}
    for name, learner in learners(seed, **sizes).items():
        scores = held_out(learner, numbers, frauds, folds, seed)
        slope, intercept = lines[name] = platt(scores, frauds)
        cheapest = model.costs(model.sigmoid(slope * scores + intercept), amounts).argmin(axis=1)
        ranking = ranking_metrics(scores, frauds)
        metrics = {
            "average_precision": ranking.pop("average_precision"),
            "average_precision_se": precision_error(scores, frauds, seed),
        }
        for kind, (rows, attacks) in real.items():
            suspicions = held_out(learner, rows, attacks, folds, seed)
            known = ranking_metrics(suspicions, attacks)["average_precision"]
            metrics[f"average_precision_{kind}"] = known
            metrics[f"average_precision_{kind}_se"] = precision_error(suspicions, attacks, seed)
        metrics |= {"cost": cost_of_actions(cheapest, amounts, frauds), **ranking}
        precision, recall, _ = precision_recall_curve(frauds, scores)
        curves = {"precision": np.interp(RECALLS, recall[::-1], precision[::-1]).tolist()}
        supervised = hasattr(learner, "predict_proba")
        tried.append(Candidate(name, metrics, {"labels": supervised}, curves))
    allowed = [each for each in tried if each.parameters["labels"]]
    chosen = simplest_within_error(allowed, "average_precision", best="highest").name
    with threadpool_limits(limits=1):
        best = learners(seed, **sizes)[chosen].fit(numbers, frauds)
    slope, intercept = lines[chosen]
    usual = np.median(numbers, axis=0).tolist()
    export_onnx(best, {"numbers": len(FIELDS)}, weights)
    decision = {"slope": slope, "intercept": intercept, "usual": usual}
    (weights / "decision.json").write_text(json.dumps(decision, indent=1) + "\n")

    def framework_predict(payments: list[Payment]) -> list[Verdict]:
        return verdicts(payments, lambda rows: slope * suspicion(best, rows) + intercept, usual)

    return Fitted(tried, chosen, framework_predict)
