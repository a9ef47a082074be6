"""Fit meta-learners for the effect of two e-mails, compared by their Qini coefficients.

The simplest candidate within one standard error of the best coefficient over folds is served.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.validation import mean_over_folds

from .drawn import Label, RandomizedCustomers
from .learners import Estimators, FitLearner, export, learners
from .model import Campaign, Shopper, campaigns, features
from .ranked import ranked, ranking_metrics, uplifts


def cross_validate_learner(
    name: str,
    fit_learner: FitLearner,
    estimators: Estimators,
    customers: RandomizedCustomers,
    splits: StratifiedKFold,
) -> Candidate:
    """Return the candidate with metrics and curves of both e-mails, averaged over folds."""
    scores, curves = [], []
    for kept, held in splits.split(customers.numbers, 2 * customers.email + customers.visited):
        effects = uplifts(
            fit_learner(customers.at(kept), estimators).visits(customers.numbers[held])
        )
        both = ranked(effects, customers.at(held))
        scores.append(ranking_metrics(*both))
        curves.append([each.gained(np.linspace(0, 1, 21)) for each in both])
    kinds = {"method": fit_learner.__name__, "parts": "linear" if "linear" in name else "trees"}
    mens, womens = np.mean(curves, axis=0).tolist()
    metrics = mean_over_folds(scores, "qini")
    metrics["qini_se"] = fold_error([each["qini"] for each in scores])
    return Candidate(name, metrics, kinds, {"mens": mens, "womens": womens})


def fit(
    *,
    train: LabelledRows[Shopper, Label],
    weights: Path,
    seed: int,
    folds: int,
    trees: int,
    least_uplift: float,
) -> Fitted:
    """Choose a candidate by the mean of both Qini coefficients, and fit it on all training rows."""
    customers = RandomizedCustomers.from_labelled_rows(train)
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    candidates = learners(seed, trees)
    # Trees this small finish before a second thread has started: 13 times faster with one.
    with threadpool_limits(limits=1):
        tried = [
            cross_validate_learner(name, *each, customers, splits)
            for name, each in candidates.items()
        ]
        chosen = simplest_within_error(tried, "qini", best="highest").name
        fit_learner, estimators = candidates[chosen]
        best = fit_learner(customers, estimators)
    export(best, weights / "model.onnx")
    (weights / "least.json").write_text(json.dumps({"least_uplift": least_uplift}) + "\n")

    def framework_predict(shoppers: list[Shopper]) -> list[Campaign]:
        return campaigns(best.visits(features(shoppers)["numbers"]), least_uplift)

    return Fitted(tried, chosen, framework_predict)
