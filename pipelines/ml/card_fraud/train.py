"""Learners that are told which payments were frauds, against learners that are not.

All are compared on the first day, by cross-validation; the second day judges the served one once.
Learners without labels see the frauds among the rest, as they would in a bank.
"""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.tabular import export_onnx, platt

from . import model
from .data import best_possible, connections
from .model import ACTIONS, CHARGEBACK, FIELDS, Payment, Verdict, features, verdicts

# A team that can look at 100 of a day's 142,404 payments.
BUDGET = 100 / 142_404
RECALLS = np.linspace(0, 1, 41)
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
    """Those with `predict_proba` are told the truths; the others have `score_samples`."""
    boosting = HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=0.06,
        max_leaf_nodes=6,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )
    made = {"logistic": LogisticRegression(C=0.1, max_iter=300), "boosting": boosting}
    weighted = {
        f"{name}_balanced": clone(each).set_params(class_weight="balanced")
        for name, each in made.items()
    }
    unlabelled = {
        "isolation_forest": IsolationForest(n_estimators=trees, random_state=seed),
        "one_class_svm": SomeRowsSVM(nu=0.02),
        "autoencoder": Autoencoder(
            hidden_layer_sizes=(16, 8, 16), max_iter=epochs, random_state=seed
        ),
    }
    # scikit-learn's name for a rule that looks at no payment.
    found = {"baseline": DummyClassifier(), **made, **weighted, **unlabelled}
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
    told = np.empty(len(truths))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    # Boosting's threads wait for each other by spinning: on busy cores 30 times slower.
    with threadpool_limits(limits=1):
        for rest, fold in split.split(numbers, truths):
            told[fold] = suspicion(clone(learner).fit(numbers[rest], truths[rest]), numbers[fold])
    return told


def figures(scores: np.ndarray, frauds: np.ndarray) -> dict[str, float]:
    precision, recall, _ = precision_recall_curve(frauds, scores)
    looked_at = np.argsort(-scores, kind="stable")[: max(1, round(BUDGET * len(scores)))]
    return {
        **measures.of_forecasts(frauds, "average_precision", "roc_auc", told=scores),
        "recall_at_precision_90": float(recall[precision >= 0.9].max()),
        "precision_at_budget": float(frauds[looked_at].mean()),
    }


def spent(actions: np.ndarray, amounts: np.ndarray, frauds: np.ndarray) -> float:
    """Dollars a thousand payments, actions (rows,) being places in `ACTIONS`."""
    rows = np.arange(len(frauds))
    return float(model.costs(frauds.astype(float), amounts)[rows, actions].mean() * 1000)


def fit(
    *,
    train: Examples[Payment, bool],
    weights: Path,
    seed: int,
    folds: int,
    real_honest: int,
    **sizes: int,
) -> Fitted:
    """Choose by cross-validated average precision among those with labels; fit it on all rows."""
    numbers, frauds = features(train.records)["numbers"], np.array(train.truths)
    amounts = np.array([each.amount for each in train.records])
    real, attacks = connections(fetch("card_fraud_like"), honest=real_honest, seed=seed)
    tried, lines = [], {}
    for name, learner in learners(seed, **sizes).items():
        told = held_out(learner, numbers, frauds, folds, seed)
        slope, intercept = lines[name] = platt(told, frauds)
        cheapest = model.costs(model.sigmoid(slope * told + intercept), amounts).argmin(axis=1)
        on_real = figures(held_out(learner, real, attacks, folds, seed), attacks)
        metrics = figures(told, frauds) | {"cost": spent(cheapest, amounts, frauds)}
        metrics["average_precision_http"] = on_real["average_precision"]
        precision, recall, _ = precision_recall_curve(frauds, told)
        curves = {"precision": np.interp(RECALLS, recall[::-1], precision[::-1]).tolist()}
        labels = hasattr(learner, "predict_proba")
        tried.append(Candidate(name, metrics, {"labels": labels}, curves))
    allowed = [each for each in tried if each.parameters["labels"]]
    chosen = max(allowed, key=lambda each: each.metrics["average_precision"]).name
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


def told_of(answers: list[Verdict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, amounts and actions (rows,) each."""
    probabilities = np.array([each.probability for each in answers])
    amounts = np.array([each.cost_if_passed for each in answers]) / probabilities - CHARGEBACK
    return probabilities, amounts, np.array([ACTIONS.index(each.action) for each in answers])


def score(*, answers: list[Verdict], truths: list[bool]) -> dict[str, float]:
    frauds = np.array(truths)
    probabilities, amounts, actions = told_of(answers)
    all_passed = spent(np.zeros(len(frauds), int), amounts, frauds)
    cost, suspect = spent(actions, amounts, frauds), actions > 0
    return figures(probabilities, frauds) | {
        "cost": cost,
        "cost_if_all_passed": all_passed,
        "saved": 1 - cost / all_passed,
        "frauds_found": float(suspect[frauds].mean()),
        "suspects_that_are_frauds": float(frauds[suspect].mean()) if suspect.any() else 0.0,
        "reviewed_per_1000": float((actions == 1).mean() * 1000),
        "honest_blocked_per_1000": float(((actions == 2) & ~frauds).mean() * 1000),
        "mean_probability": float(probabilities.mean()),
        "share_of_frauds": float(frauds.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    chosen, frauds = evaluation.chosen, np.array(evaluation.test.truths)
    yield "real_http", plots.candidates(evaluation.candidates, chosen, "average_precision_http")
    figure, (left, middle, right) = plots.panels(3)
    told = [each.probability for each in evaluation.answers]
    plots.precision_recall(left, evaluation.test.truths, told)
    best = best_possible(evaluation.test.records)
    precision, recall, _ = precision_recall_curve(frauds, best)
    area = figures(best, frauds)["average_precision"]
    left.plot(recall, precision, color=plots.INK, linewidth=0.8, label=f"best possible {area:.3f}")
    left.legend(loc="lower left")
    for each in evaluation.candidates[1:]:
        style = "-" if each.parameters["labels"] else "--"
        middle.plot(RECALLS, each.curves["precision"], style, label=each.name)
    middle.set(xlabel="recall", ylabel="precision", title="All candidates (dashed: no labels)")
    middle.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 0.18))
    by_threshold(right, evaluation.answers, frauds)
    yield "precision_recall", figure


def by_threshold(axes: Axes, answers: list[Verdict], frauds: np.ndarray) -> None:
    """One threshold for all payments, against what is cheapest for each amount."""
    probabilities, amounts, actions = told_of(answers)
    cuts = np.geomspace(1e-3, 1, 60)
    for action, colour in ((1, plots.ACCENT), (2, plots.INK)):
        values = [spent((probabilities >= cut) * action, amounts, frauds) for cut in cuts]
        axes.plot(cuts, values, color=colour, label=f"{ACTIONS[action]} above one threshold")
    axes.axhline(spent(actions, amounts, frauds), color="#d1793b", label="cheapest for the amount")
    axes.set(xscale="log", xlabel="threshold", ylabel="dollars a thousand payments")
    axes.set_ylim(0, 1.3 * spent(actions * 0, amounts, frauds))
    axes.set_title("Cost by threshold (test rows)")
    axes.legend(fontsize=7)
