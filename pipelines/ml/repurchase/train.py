"""A recency rule, logistic regression and boosting, each judged on moments after its own.

Walking forward through the training moments, every candidate is fitted on those before and answers
the next: as it will be used. Calibration is learnt from such answers only, since a model's answers
to rows that it was fitted on are surer than they should be. What is compared are the answers to
the moments whose season was among those fitted on, a year before, as that of the test rows is.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.contract.calibration import calibrated, log_odds
from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.calibration import Reliability
from slipway.training.tabular import export_onnx, platt

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
AS_TOLD = (1.0, 0.0)


def estimators(seed: int) -> dict[str, Pipeline]:
    """By name; the baseline asks for nothing but the days since the last purchase."""
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
    from slipway.features import lineage  # not needed to score, nor to register

    numbers, bought = features(train.records)["numbers"], np.array(train.truths)
    at = moments(train.records)
    # The first answered moment has none before it to learn a calibration from.
    answered, scored = at >= first_moments, at > first_moments
    answers, lines = {}, {}
    for name, pipeline in estimators(seed).items():
        raw = forward(pipeline, numbers, bought, at, first_moments)
        answers[name], lines[name] = raw, AS_TOLD
        if name != "baseline":
            answers[f"{name}_platt"] = recalibrated(raw, bought, at, first_moments)
            lines[f"{name}_platt"] = platt(log_odds(raw[answered]), bought[answered])
    tried = [
        Candidate(name, measured(told[scored], bought[scored]), {"calibrated": "_platt" in name})
        for name, told in answers.items()
    ]
    chosen = max(tried, key=lambda each: each.metrics["brier_skill"]).name
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


def measured(probabilities: np.ndarray, bought: np.ndarray) -> dict[str, float]:
    """`brier_skill` is the share of the Brier score that is taken off what the mere share of buyers
    would get, so that moments with more and fewer buyers compare."""
    names = ("brier", "roc_auc", "average_precision", "log_loss", "calibration_error")
    found = measures.of_forecasts(bought, *names, told=probabilities)
    share = float(bought.mean())
    return {"brier_skill": 1 - found["brier"] / (share * (1 - share)), **found}


def score(*, answers: list[Repurchase], truths: list[bool]) -> dict[str, float]:
    told, bought = np.array([each.probability for each in answers]), np.array(truths)
    best = np.argsort(-told, kind="stable")[: max(1, len(told) // 10)]
    return {
        **measured(told, bought),
        "accuracy": float(np.mean((told >= 0.5) == bought)),
        "share_of_buyers": float(bought.mean()),
        "share_expected": float(told.mean()),
        "share_in_best_tenth": float(bought[best].mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    told = np.array([each.probability for each in evaluation.answers])
    bought = np.array(evaluation.test.truths)
    figure, (left, right) = plots.panels(2)
    tenths = Reliability.of(told, bought)
    plots.reliability(left, tenths, "Calibration (test rows)", label="a tenth of the customers")
    left.set(ylabel="bought again")
    left.legend()
    gains(right, told, bought)
    yield "calibration", figure
    figure, (left, right) = plots.panels(2)
    plots.roc(left, evaluation.test.truths, told)
    plots.precision_recall(right, evaluation.test.truths, told)
    yield "ranking", figure
    figure, axes = plots.panels(3)
    records, truths = evaluation.train.records, evaluation.train.truths
    groups = {
        "days since the last order": [
            span(each.days_since_purchase, (30, 90, 180, 365)) for each in records
        ],
        "orders so far": [span(each.orders, (2, 3, 5, 10)) for each in records],
        "share sent back": [span(100 * each.return_share, (0.01, 2, 5, 10)) for each in records],
    }
    for panel, (name, values) in zip(axes, groups.items(), strict=True):
        plots.share(panel, values, truths, f"Bought again, by {name}")
    yield "customers", figure


def span(value: float, borders: tuple[float, ...]) -> str:
    """`2: 90-180`, numbered so that spans sort; percent for what is below 1."""
    place = sum(value >= border for border in borders)
    low = f"{borders[place - 1]:g}" if place else ""
    high = f"{borders[place]:g}" if place < len(borders) else ""
    told = f"{low}-{high}" if low and high else f"< {high}" if high else f">= {low}"
    return f"{place + 1}: {told}"


def gains(axes: Axes, told: np.ndarray, bought: np.ndarray) -> None:
    """The share of all later buyers among the first customers by probability."""
    order = np.argsort(-told, kind="stable")
    reached = np.concatenate([[0.0], np.cumsum(bought[order]) / max(1, bought.sum())])
    asked = np.linspace(0, 1, len(reached))
    axes.plot(asked, reached, color=plots.ACCENT, label="by probability")
    axes.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":", label="at random")
    axes.set(xlabel="share of customers written to", ylabel="share of buyers reached")
    axes.legend(loc="lower right")
    axes.set_title("Gains (test rows)")
