"""Training of online learners and batch models over one stream.

The served learner is an online logistic regression. Its learning rate is the smallest whose area
under the ROC curve lies within one standard error of the best. Each half hour is predicted before
the learner learns from it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from river.forest import ARFClassifier
from river.tree import HoeffdingAdaptiveTreeClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import bootstrap_error, simplest_within_error

from .export import export
from .learner import Learner, to_dicts
from .model import Market, Outlook, features, outlooks
from .prequential import (
    IS_UP,
    MONTH,
    Predictor,
    no_change,
    online,
    roc_auc_by_days,
    stream_metrics,
)


def batch(model: Any, *, monthly: bool) -> Predictor:
    """Fit on all earlier months, every month or only once after the first month."""

    def predict(numbers: np.ndarray, up: np.ndarray) -> np.ndarray:
        y_prob = no_change(numbers, up)
        for start in range(MONTH, len(up), MONTH):
            if monthly or start == MONTH:
                model.fit(numbers[:start], up[:start])
            rows = slice(start, start + MONTH)
            y_prob[rows] = model.predict_proba(numbers[rows])[:, 1]
        return y_prob

    return predict


def predictors(seed: int, rates: list[float], trees: int) -> dict[str, Predictor]:
    """Return the candidates, with those that may be served from the simplest.

    A smaller learning rate is simpler: a half hour moves the weights less.
    """
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    boosting = HistGradientBoostingClassifier(max_iter=40, random_state=seed)
    return {
        "baseline": no_change,
        **{f"logistic_{rate:g}": online(Learner(rate)) for rate in sorted(rates)},
        "adaptive_tree": online(HoeffdingAdaptiveTreeClassifier(grace_period=100, seed=seed)),
        "adaptive_forest": online(ARFClassifier(n_models=trees, seed=seed)),
        "batch_once": batch(linear, monthly=False),
        "batch_monthly": batch(linear, monthly=True),
        "boosting_once": batch(boosting, monthly=False),
        "boosting_monthly": batch(boosting, monthly=True),
    }


def roc_auc_error(up: np.ndarray, y_prob: np.ndarray, seed: int) -> float:
    """Return the standard error of ROC AUC over whole days drawn with replacement."""
    area, days = roc_auc_by_days(up, y_prob)
    return bootstrap_error(area, days, seed=seed)


def fit(
    *, train: LabelledRows[Market, bool], weights: Path, seed: int, rates: list[float], trees: int
) -> Fitted:
    """Choose a rate of the online regression, and learn the whole stream again with it."""
    numbers, up = features(train.records)["numbers"], np.array(train.labels)
    tried = []
    # The first month is only for learning, so that all are scored on the same rows.
    judge = slice(min(MONTH, len(up) // 2), None)
    for name, predict in predictors(seed, rates, trees).items():
        # Trees this small take less time than starting a second thread.
        with threadpool_limits(limits=1):
            y_prob = predict(numbers, up)[judge]
        metrics = stream_metrics(y_prob, up[judge], numbers[judge, IS_UP])
        metrics["roc_auc_se"] = roc_auc_error(up[judge], y_prob, seed)
        right = (y_prob >= 0.5) == up[judge]
        months = [float(right[at : at + MONTH].mean()) for at in range(0, len(right), MONTH)]
        tried.append(Candidate(name, metrics, {}, {"accuracy": months}))
    servable = [each for each in tried if each.name.startswith("logistic")]
    chosen = simplest_within_error(servable, "roc_auc", best="highest").name
    learner = Learner(float(chosen.partition("_")[2]))
    online(learner)(numbers, up)
    export(learner, weights)

    def framework_predict(markets: list[Market]) -> list[Outlook]:
        rows = to_dicts(features(markets)["numbers"])
        return outlooks(np.array([learner.predict_proba_one(each)[True] for each in rows]))

    return Fitted(tried, chosen, framework_predict)
