"""Fit meta-learners for the effect of two e-mails, compared by their Qini coefficients.

The simplest candidate within one standard error of the best coefficient over folds is served. Its
uplifts are corrected, and get their intervals, by the customers of the folds left out.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.validation import mean_over_folds

from .drawn import MENS, WOMENS, Label, RandomizedCustomers
from .effects import fit_effect_line
from .learners import Estimators, FitLearner, export, learners
from .model import EFFECTS, Campaign, Effects, Shopper, campaigns, features
from .ranked import ranked, ranking_metrics, uplifts


def cross_validate_learner(
    name: str,
    fit_learner: FitLearner,
    estimators: Estimators,
    customers: RandomizedCustomers,
    splits: StratifiedKFold,
) -> tuple[Candidate, np.ndarray]:
    """Return the candidate with metrics and curves of both e-mails, averaged over folds.

    The second value is the probabilities of visits (rows, 3) of the customers left out.
    """
    scores, curves, visits = [], [], np.empty((len(customers.email), 3))
    for kept, held in splits.split(customers.numbers, 2 * customers.email + customers.visited):
        visits[held] = fit_learner(customers.at(kept), estimators).visits(customers.numbers[held])
        both = ranked(uplifts(visits[held]), customers.at(held))
        scores.append(ranking_metrics(*both))
        curves.append([each.gained(np.linspace(0, 1, 21)) for each in both])
    kinds = {"method": fit_learner.__name__, "parts": "linear" if "linear" in name else "trees"}
    mens, womens = np.mean(curves, axis=0).tolist()
    metrics = mean_over_folds(scores, "qini")
    metrics["qini_se"] = fold_error([each["qini"] for each in scores])
    return Candidate(name, metrics, kinds, {"mens": mens, "womens": womens}), visits


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
        crossed = {
            name: cross_validate_learner(name, *each, customers, splits)
            for name, each in candidates.items()
        }
        tried = [candidate for candidate, _ in crossed.values()]
        chosen = simplest_within_error(tried, "qini", best="highest").name
        fit_learner, estimators = candidates[chosen]
        best = fit_learner(customers, estimators)
    export(best, weights / "model.onnx")
    _, visits = crossed[chosen]
    mens, womens = (fit_effect_line(visits, customers, email) for email in (MENS, WOMENS))
    effects = Effects(mens, womens, least_uplift)
    (weights / EFFECTS).write_text(json.dumps(asdict(effects), indent=1) + "\n")

    def framework_predict(shoppers: list[Shopper]) -> list[Campaign]:
        return campaigns(best.visits(features(shoppers)["numbers"]), effects)

    return Fitted(tried, chosen, framework_predict)
