"""Training of learners of the e-mail's effect.

They are trained and validated on doubly robust scores, whose mean over any group is the effect
there. Of the learners with an interval, the simplest within one standard error of the best Qini
area is served.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import mean_over_folds

from .model import CELLS, NUMBERS, Customer, Effect, effects, features
from .trial import Estimate, Label, Sample, qini, robust, trial_sample

Learner = Callable[[np.ndarray], np.ndarray]
# Least squares on some of the columns, from the simplest, which has the fewest parameters.
PROJECTED = {"baseline": ("one",), "dr_cells": CELLS, "dr_linear": NUMBERS}
# Means of groups have valid intervals for the mean effect in the group, without assumptions.
SERVED = ("baseline", "dr_cells")


def boosted(columns: np.ndarray, target: np.ndarray, trees: int) -> Learner:
    """Return boosted small trees with large leaves, since small effects need many rows."""
    model = HistGradientBoostingRegressor(
        max_iter=trees,
        learning_rate=0.05,
        max_leaf_nodes=6,
        min_samples_leaf=200,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=0,
    )
    fitted = model.fit(columns, target)
    return lambda rows: np.asarray(fitted.predict(rows))


def arms(sample: Sample, trees: int) -> list[Learner]:
    """Return learners of the outcome without and with the e-mail."""
    parts = [sample.at(sample.treated == arm) for arm in (False, True)]
    return [boosted(each.before, each.outcome, trees) for each in parts]


def scores(sample: Sample, trees: int, folds: int) -> np.ndarray:
    """Return doubly robust scores (rows,), cross-fitted.

    A customer's expected outcomes are learnt from other customers, so that they do not contain the
    own outcome.
    """
    means = np.empty((2, len(sample.outcome)))
    for kept, held in KFold(folds, shuffle=True, random_state=0).split(sample.before):
        means[:, held] = [each(sample.before[held]) for each in arms(sample.at(kept), trees)]
    return robust(sample, means)


def means(columns: np.ndarray, score: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return the mean score and its standard error by kind of row, as weights of columns (2, 12).

    Kinds are the different values of the columns `names`; there are as many kinds as columns.
    """
    places = [NUMBERS.index(name) for name in names]
    kinds, kind = np.unique(columns[:, places], axis=0, return_inverse=True)
    by_kind = [Estimate.mean(score[kind == place]) for place in range(len(kinds))]
    weights = np.zeros((2, len(NUMBERS)))
    weights[:, places] = np.linalg.lstsq(kinds, [[each.value, each.error] for each in by_kind])[0].T
    return weights


def train_learner(name: str, sample: Sample, trees: int, folds: int) -> Learner:
    """Train the learner called `name`; it maps columns (rows, 12) to effects (rows,)."""
    rows, sent, came = sample.before, sample.treated, sample.outcome
    if name in ("t_learner", "x_learner"):
        without, mailed = arms(sample, trees)
        if name == "t_learner":
            return lambda more: mailed(more) - without(more)
        # The other arm imputes what each customer would have done otherwise. Künzel et al. (2019).
        gained = boosted(rows[sent], (came - without(rows))[sent], trees)
        missed = boosted(rows[~sent], (mailed(rows) - came)[~sent], trees)
        return lambda more: (gained(more) + missed(more)) / 2
    score = scores(sample, trees, folds)
    if name == "dr_learner":  # Kennedy (2023)
        return boosted(rows, score, trees)
    places = [NUMBERS.index(each) for each in PROJECTED[name]]
    weights = np.linalg.lstsq(rows[:, places], score)[0]
    return lambda more: np.asarray(more[:, places] @ weights)


def fit(
    *, train: LabelledRows[Customer, Label], weights: Path, folds: int, trees: int, seed: int
) -> Fitted:
    """Choose among the learners with an interval; the others show what that costs."""
    visits, tried = trial_sample(train, "visited"), []
    # Trees this small take less time than starting a second thread.
    with threadpool_limits(limits=1):
        judge, spent = (
            scores(trial_sample(train, outcome), trees, folds) for outcome in ("visited", "spent")
        )
        for name in (*PROJECTED, "t_learner", "x_learner", "dr_learner"):
            areas = []
            for kept, held in KFold(folds, shuffle=True, random_state=seed).split(visits.before):
                y_pred = train_learner(name, visits.at(kept), trees, folds)(visits.before[held])
                areas.append({"qini": qini(y_pred, judge[held]).value})
            error = {"qini_se": fold_error([each["qini"] for each in areas])}
            metrics = mean_over_folds(areas, "qini") | error
            tried.append(Candidate(name, metrics, {"has_interval": name in SERVED}))
        servable = [each for each in tried if each.name in SERVED]
        chosen = simplest_within_error(servable, "qini", best="highest").name
        unmailed = visits.at(~visits.treated)
        without = np.linalg.lstsq(unmailed.before, unmailed.outcome)[0]
        parts = [means(visits.before, each, PROJECTED[chosen]) for each in (judge, spent)]
    served = LinearRegression()
    served.coef_, served.intercept_ = np.concatenate([without[None], *parts]), np.zeros(5)
    served.n_features_in_ = len(NUMBERS)
    export_onnx(served, {"numbers": len(NUMBERS)}, weights)

    def framework_predict(customers: list[Customer]) -> list[Effect]:
        rows = features(customers)["numbers"].astype(np.float64)
        return effects(customers, served.predict(rows))

    return Fitted(tried, chosen, framework_predict)
