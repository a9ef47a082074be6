"""Fit meta-learners for the effect of two e-mails, compared by their Qini coefficients.

The simplest candidate within one standard error of the best coefficient over folds is served.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Examples, Fitted
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.validation import mean_over_folds

from .drawn import Drawn, Truth
from .learners import Estimators, Teach, export, learners
from .model import Campaign, Shopper, campaigns, features
from .ranked import figures, ranked, uplifts


def validated(
    name: str, teach: Teach, made: Estimators, drawn: Drawn, splits: StratifiedKFold
) -> Candidate:
    """Figures over folds, and the Qini curves of women's e-mail and of men's, averaged."""
    scores, curves = [], []
    for kept, held in splits.split(drawn.numbers, 2 * drawn.email + drawn.visited):
        effects = uplifts(teach(drawn.at(kept), made).visits(drawn.numbers[held]))
        both = ranked(effects, drawn.at(held))
        scores.append(figures(*both))
        curves.append([each.gained(np.linspace(0, 1, 21)) for each in both])
    kinds = {"method": teach.__name__, "parts": "linear" if "linear" in name else "trees"}
    mens, womens = np.mean(curves, axis=0).tolist()
    metrics = mean_over_folds(scores, "qini")
    metrics["qini_se"] = fold_error([each["qini"] for each in scores])
    return Candidate(name, metrics, kinds, {"mens": mens, "womens": womens})


def fit(
    *,
    train: Examples[Shopper, Truth],
    weights: Path,
    seed: int,
    folds: int,
    trees: int,
    least_uplift: float,
) -> Fitted:
    """Choose by the mean of both Qini coefficients, and fit the chosen on all training rows."""
    drawn = Drawn.of(train)
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    taught = learners(seed, trees)
    # Trees this small are done before a second thread has started: 13 times faster with one.
    with threadpool_limits(limits=1):
        tried = [validated(name, *each, drawn, splits) for name, each in taught.items()]
        chosen = simplest_within_error(tried, "qini", best="highest").name
        teach, made = taught[chosen]
        best = teach(drawn, made)
    export(best, weights / "model.onnx")
    (weights / "least.json").write_text(json.dumps({"least_uplift": least_uplift}) + "\n")

    def native(shoppers: list[Shopper]) -> list[Campaign]:
        return campaigns(best.visits(features(shoppers)["numbers"]), least_uplift)

    return Fitted(tried, chosen, native)
