"""Fit a recency rule, logistic regression and boosting, and compare them on later moments.

Walking forward through the training moments, every candidate is fitted on those before and answers
the next: as it will be used. Calibration is learnt from such answers only, since a model's answers
to rows that it was fitted on are surer than they should be. What is compared are the answers to
the moments whose season was among those fitted on, a year before, as that of the test rows is. The
simplest candidate within one standard error of the best Brier skill is served.
"""

import json
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
from slipway.training import Candidate, Examples, Fitted
from slipway.training.calibration import Reliability
from slipway.training.candidates import BASELINE
from slipway.training.platt import platt
from slipway.training.selection import bootstrap_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import binary_metrics

from .metrics import NAMES, brier_skill
from .model import (
    CALIBRATION,
    NUMBERS,
    SEASON,
    Repurchase,
    RepurchaseModel,
    Shopper,
    features,
    repurchases,
)

# A slope and an intercept for Platt's calibration that change nothing.
UNCHANGED = (1.0, 0.0)


def estimators(seed: int) -> dict[str, Pipeline]:
    """Return the candidates by name; the baseline knows only the days since the last purchase.

    They go from the simplest: one small tree, one weight a column, many trees; the season adds two
    columns, and Platt's scaling two numbers.
    """
    recency = only(["log_days_since_purchase"])
    lasting = only([name for name in NUMBERS if name not in SEASON])
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
        "logistic": make_pipeline(lasting, StandardScaler(), logistic),
        "logistic_season": make_pipeline(StandardScaler(), logistic),
        "boosting": make_pipeline(lasting, boosting),
        "boosting_season": make_pipeline(boosting),
    }


def only(names: list[str]) -> ColumnTransformer:
    return ColumnTransformer([("kept", "passthrough", [NUMBERS.index(name) for name in names])])


def moments(shoppers: list[Shopper]) -> np.ndarray:
    """Which moment each row is of (rows,), counted from 0: rows come in their order."""
    days = np.array([each.day_of_year for each in shoppers])
    return np.concatenate([[0], np.cumsum(days[1:] != days[:-1])])


# Boosting's threads wait for each other by spinning: on two busy cores 30 times slower.
@threadpool_limits.wrap(limits=1)
def fit(*, train: Examples[Shopper, bool], weights: Path, seed: int, first_moments: int) -> Fitted:
    """Choose by the Brier skill on later moments, and fit the chosen on all of them."""
    numbers, bought = features(train.records)["numbers"], np.array(train.truths)
    at = moments(train.records)
    # The first answered moment has none before it to learn a calibration from.
    answered, scored = at >= first_moments, at > first_moments
    answers, lines = {}, {}
    for name, pipeline in estimators(seed).items():
        raw = forward(pipeline, numbers, bought, at, first_moments)
        answers[name], lines[name] = raw, UNCHANGED
        if name != BASELINE:
            answers[f"{name}_platt"] = recalibrated(raw, bought, at, first_moments)
            lines[f"{name}_platt"] = platt(log_odds(raw[answered]), bought[answered])
    tried = [
        compared(name, bought[scored], y_prob[scored], seed) for name, y_prob in answers.items()
    ]
    chosen = simplest_within_error(tried, "brier_skill", best="highest").name
    best = estimators(seed)[chosen.removesuffix("_platt")].fit(numbers, bought)
    slope, intercept = lines[chosen]
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    line = {"slope": slope, "intercept": intercept}
    (weights / CALIBRATION).write_text(json.dumps(line, indent=1) + "\n")
    assert RepurchaseModel.looked_up is not None
    lineage.write(RepurchaseModel.looked_up.service, weights)

    def native(shoppers: list[Shopper]) -> list[Repurchase]:
        raw = best.predict_proba(features(shoppers)["numbers"])[:, 1]
        return repurchases(calibrated(raw, slope, intercept))

    return Fitted(tried, chosen, native)


def forward(
    pipeline: Pipeline, numbers: np.ndarray, bought: np.ndarray, at: np.ndarray, first: int
) -> np.ndarray:
    """Probabilities (rows,) by a model fitted on earlier moments; nan for the `first` ones."""
    answers = np.full(len(bought), np.nan)
    for moment in range(first, int(at.max()) + 1):
        pipeline.fit(numbers[at < moment], bought[at < moment])
        answers[at == moment] = pipeline.predict_proba(numbers[at == moment])[:, 1]
    return answers


def recalibrated(raw: np.ndarray, bought: np.ndarray, at: np.ndarray, first: int) -> np.ndarray:
    """The answers to each moment, calibrated on the answers to those before."""
    adjusted = np.full(len(raw), np.nan)
    for moment in range(first + 1, int(at.max()) + 1):
        before = (at >= first) & (at < moment)
        line = platt(log_odds(raw[before]), bought[before])
        adjusted[at == moment] = calibrated(raw[at == moment], *line)
    return adjusted


def compared(name: str, y_true: np.ndarray, y_prob: np.ndarray, seed: int) -> Candidate:
    """Return the candidate with its metrics and reliability curve on the rows compared (rows,)."""

    def resampled(places: np.ndarray) -> float:
        return brier_skill(y_true[places], y_prob[places])

    metrics = {
        "brier_skill": brier_skill(y_true, y_prob),
        **binary_metrics(y_true, *NAMES, y_prob=y_prob),
        "brier_skill_se": bootstrap_error(resampled, len(y_true), seed=seed),
    }
    curves = {key: values.tolist() for key, values in vars(Reliability.of(y_prob, y_true)).items()}
    return Candidate(name, metrics, {"calibrated": "_platt" in name}, curves)
