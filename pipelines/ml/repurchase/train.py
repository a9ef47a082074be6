"""Fit a recency rule, logistic regression and boosting, and compare them on later moments.

In walk-forward validation, every candidate is fitted on earlier moments and predicts the next one,
as in service. Calibration is fitted to such predictions only, since a model is overconfident on
rows that it was fitted on. Candidates are compared on moments whose season was among those fitted
on, a year before, as is the case for the test rows. The simplest candidate within one standard
error of the best Brier skill is served. The season is tried as a feature, and as a shift by what
the same season showed a year before.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.contract.calibration import calibrated, log_odds
from slipway.features import lineage
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.calibration import Reliability
from slipway.training.candidates import BASELINE
from slipway.training.platt import platt
from slipway.training.selection import bootstrap_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import binary_metrics, brier_skill

from .metrics import NAMES
from .model import (
    CALIBRATION,
    NUMBERS,
    RECENCY,
    SEASON,
    RecencyRule,
    Repurchase,
    RepurchaseModel,
    Shopper,
    features,
    repurchases,
)
from .season import moved_by_last_year

# Slope and intercept of a Platt calibration that changes nothing.
UNCHANGED = (1.0, 0.0)
# Models without the season whose level is also moved by that of a year before. These are compared
# only: served, they would need the shifts of all days of the year.
MOVED = ("logistic", "boosting")
LAST_YEAR = "_last_year"


def estimators(seed: int) -> dict[str, Pipeline]:
    """Return the candidates by name; the baseline knows only the days since the last purchase.

    The simplest comes first: one small tree, one weight per column, many trees. The season adds two
    columns, and Platt scaling two parameters.
    """
    recency = only(["log_days_since_purchase"])
    without_season = only([name for name in NUMBERS if name not in SEASON])
    tree = DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=50, random_state=seed)
    boosting = HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.05,
        max_leaf_nodes=12,
        min_samples_leaf=60,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    logistic = LogisticRegression(C=0.1, max_iter=2000)
    return {
        "baseline": make_pipeline(recency, tree),
        "logistic": make_pipeline(without_season, StandardScaler(), logistic),
        "logistic_season": make_pipeline(StandardScaler(), logistic),
        "boosting": make_pipeline(without_season, boosting),
        "boosting_season": make_pipeline(boosting),
    }


def only(names: list[str]) -> ColumnTransformer:
    return ColumnTransformer([("kept", "passthrough", [NUMBERS.index(name) for name in names])])


def recency_rule(baseline: Pipeline) -> RecencyRule:
    """Return the fitted baseline as spans; its tree has one column."""
    tree = baseline[-1]
    borders = np.sort(tree.tree_.threshold[tree.tree_.feature >= 0])
    # One value inside each span.
    ends = np.concatenate([[borders[0] - 2], borders, [borders[-1] + 2]])
    inside = ((ends[1:] + ends[:-1]) / 2)[:, None]
    return RecencyRule(borders.tolist(), tree.predict_proba(inside)[:, 1].tolist())


def moments(shoppers: list[Shopper]) -> np.ndarray:
    """Return the number of each row's moment (rows,), from 0; rows are sorted by moment."""
    days = np.array([each.day_of_year for each in shoppers])
    return np.concatenate([[0], np.cumsum(days[1:] != days[:-1])])


# Boosting's threads spin while they wait for each other: on two busy cores 30 times slower.
@threadpool_limits.wrap(limits=1)
def fit(
    *, train: LabelledRows[Shopper, bool], weights: Path, seed: int, first_moments: int
) -> Fitted:
    """Choose a candidate by the Brier skill on later moments, and fit it on all moments."""
    numbers, bought = features(train.records)["numbers"], np.array(train.labels)
    at = moments(train.records)
    # The first predicted moment has none before it to fit a calibration on.
    predicted, scored = at >= first_moments, at > first_moments
    y_prob_by_name, lines = {}, {}
    for name, pipeline in estimators(seed).items():
        raw = walk_forward(pipeline, numbers, bought, at, first_moments)
        y_prob_by_name[name], lines[name] = raw, UNCHANGED
        if name != BASELINE:
            y_prob_by_name[f"{name}_platt"] = walk_forward_platt(raw, bought, at, first_moments)
            lines[f"{name}_platt"] = platt(log_odds(raw[predicted]), bought[predicted])
        if name in MOVED:
            moved = moved_by_last_year(pipeline, numbers, bought, at)
            y_prob_by_name[f"{name}{LAST_YEAR}"] = moved
    tried = [
        evaluate_candidate(name, bought[scored], y_prob[scored], seed)
        for name, y_prob in y_prob_by_name.items()
    ]
    servable = [each for each in tried if each.name in lines]
    chosen = simplest_within_error(servable, "brier_skill", best="highest").name
    best = estimators(seed)[chosen.removesuffix("_platt")].fit(numbers, bought)
    slope, intercept = lines[chosen]
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    line = {"slope": slope, "intercept": intercept}
    (weights / CALIBRATION).write_text(json.dumps(line, indent=1) + "\n")
    rule = recency_rule(estimators(seed)[BASELINE].fit(numbers, bought))
    (weights / RECENCY).write_text(json.dumps(asdict(rule), indent=1) + "\n")
    assert RepurchaseModel.looked_up is not None
    lineage.write(RepurchaseModel.looked_up.service, weights)

    def framework_predict(shoppers: list[Shopper]) -> list[Repurchase]:
        numbers = features(shoppers)["numbers"]
        raw = best.predict_proba(numbers)[:, 1]
        return repurchases(calibrated(raw, slope, intercept), rule.probabilities(numbers))

    return Fitted(tried, chosen, framework_predict)


def walk_forward(
    pipeline: Pipeline, numbers: np.ndarray, bought: np.ndarray, at: np.ndarray, first: int
) -> np.ndarray:
    """Return probabilities (rows,) from models fitted on earlier moments; NaN before `first`."""
    y_prob = np.full(len(bought), np.nan)
    for moment in range(first, int(at.max()) + 1):
        pipeline.fit(numbers[at < moment], bought[at < moment])
        y_prob[at == moment] = pipeline.predict_proba(numbers[at == moment])[:, 1]
    return y_prob


def walk_forward_platt(
    raw: np.ndarray, bought: np.ndarray, at: np.ndarray, first: int
) -> np.ndarray:
    """Return each moment's probabilities, calibrated on those of the moments before."""
    adjusted = np.full(len(raw), np.nan)
    for moment in range(first + 1, int(at.max()) + 1):
        before = (at >= first) & (at < moment)
        line = platt(log_odds(raw[before]), bought[before])
        adjusted[at == moment] = calibrated(raw[at == moment], *line)
    return adjusted


def evaluate_candidate(name: str, y_true: np.ndarray, y_prob: np.ndarray, seed: int) -> Candidate:
    """Return the candidate with its metrics and reliability curve on the rows compared (rows,)."""

    def resampled(places: np.ndarray) -> float:
        return brier_skill(y_true[places], y_prob[places])

    metrics = {
        "brier_skill": brier_skill(y_true, y_prob),
        **binary_metrics(y_true, *NAMES, y_prob=y_prob),
        "brier_skill_se": bootstrap_error(resampled, len(y_true), seed=seed),
    }
    curves = {
        key: values.tolist()
        for key, values in vars(Reliability.from_predictions(y_prob, y_true)).items()
    }
    return Candidate(name, metrics, {"calibrated": "_platt" in name}, curves)
