"""Logistic regression and boosted trees, as they are and weighted for imbalance, each calibrated.

Every learner is judged with each calibration by cross-validation, the calibration fitted on
predictions for rows that the learner did not see either.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.contract.calibration import log_odds
from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.calibration import Reliability
from slipway.training.tabular import export_boosting, export_onnx, platt, together

from .model import (
    CATEGORIES,
    NUMBERS,
    SERVICES,
    Calibration,
    ChurnRisk,
    Customer,
    Offer,
    features,
    risks,
)

CALIBRATIONS = ("none", "sigmoid", "isotonic")
PROTECTED = "boosting_with_gender_and_age"


def learners(seed: int, trees: int) -> dict[str, ClassifierMixin]:
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    # What both libraries name alike.
    alike: dict[str, Any] = {
        "n_estimators": trees,
        "learning_rate": 0.03,
        "subsample": 0.8,
        "colsample_bytree": 0.6,
        "reg_lambda": 5.0,
        "random_state": seed,
        "n_jobs": 1,  # so that sums, and with them the trees, are the same on every machine
    }
    boosting = LGBMClassifier(
        **alike,
        num_leaves=8,
        min_child_samples=40,
        subsample_freq=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    logistic = LogisticRegression(C=0.3, max_iter=3000)
    return {
        "logistic": logistic,
        "logistic_balanced": clone(logistic).set_params(class_weight="balanced"),
        "boosting": boosting,
        "boosting_balanced": clone(boosting).set_params(class_weight="balanced"),
        "xgboost": XGBClassifier(**alike, grow_policy="lossguide", max_leaves=8, max_depth=0),
    }


def pipeline(estimator: ClassifierMixin) -> Pipeline:
    """Encode, scale for linear models, then `estimator`; numbers after the categories stay."""
    last = len(NUMBERS) + len(CATEGORIES)
    scaled = StandardScaler() if isinstance(estimator, LogisticRegression) else "passthrough"
    encoded = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepared = make_column_transformer(
        (scaled, slice(0, len(NUMBERS))),
        (encoded, slice(len(NUMBERS), last)),
        remainder="passthrough",
    )
    return make_pipeline(prepared, estimator)


def calibrator(kind: str, probabilities: np.ndarray, left: np.ndarray) -> Calibration:
    """Fitted on out-of-fold probabilities (rows,) and what happened."""
    if kind == "sigmoid":
        return Calibration(kind, platt(log_odds(probabilities), left))
    if kind == "isotonic":
        steps = IsotonicRegression(out_of_bounds="clip").fit(probabilities, left)
        return Calibration(
            kind, tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist())
        )
    return Calibration(kind)


def out_of_fold(made: Pipeline, columns: np.ndarray, left: np.ndarray, folds: int) -> np.ndarray:
    """Probabilities (rows,), each from a fit that did not see its row."""
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=0)
    told = cross_val_predict(made, columns, left, cv=splits, method="predict_proba")
    return np.asarray(told[:, 1])


def validated(
    made: Pipeline, columns: np.ndarray, left: np.ndarray, splits: StratifiedKFold
) -> dict[str, np.ndarray]:
    """Out-of-fold probabilities (rows,) by calibration.

    The calibration is fitted within each training part, on a second round of folds.
    """
    told = {kind: np.empty(len(left)) for kind in CALIBRATIONS}
    for kept, held in splits.split(columns, left):
        inner = out_of_fold(made, columns[kept], left[kept], splits.get_n_splits())
        made.fit(columns[kept], left[kept])
        raw = made.predict_proba(columns[held])[:, 1]
        for kind in CALIBRATIONS:
            told[kind][held] = calibrator(kind, inner, left[kept])(raw)
    return told


def figures(told: np.ndarray, left: np.ndarray) -> dict[str, float]:
    names = ("brier", "log_loss", "calibration_error", "roc_auc", "average_precision")
    return measures.of_forecasts(left, *names, told=told)


def profits(gains: np.ndarray, left: np.ndarray, revenue: np.ndarray, offer: Offer) -> np.ndarray:
    """Dollars a customer (rows + 1,) from calling the first 0, 1, ... in order of `gains`.

    Whom the offer keeps is assumed, who would leave is known.
    """
    order = np.argsort(-gains, kind="stable")
    brought = offer.success_rate * revenue[order] * left[order] - offer.cost
    return np.concatenate([[0.0], np.cumsum(brought)]) / len(gains)


def by_gain(
    told: np.ndarray, left: np.ndarray, monthly: np.ndarray, offer: Offer
) -> tuple[np.ndarray, int]:
    """Profits in the order of the expected gain, and how many have one."""
    gains = offer.gain(told, monthly)
    return profits(gains, left, offer.revenue(monthly), offer), int((gains > 0).sum())


def fit(
    *,
    train: Examples[Customer, bool],
    weights: Path,
    seed: int,
    folds: int,
    trees: int,
    horizon_months: float,
    offer_cost: float,
    success_rate: float,
) -> Fitted:
    """Choose by cross-validated Brier score, and fit the chosen on all training rows."""
    columns, left = together(features(train.records)), np.array(train.truths)
    monthly = np.array([each.monthly_charges for each in train.records])
    offer = Offer(horizon_months, offer_cost, success_rate)
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    made = learners(seed, trees)
    # What every gain is measured against: each customer gets the share of all who left.
    prior = cross_val_predict(DummyClassifier(), columns, left, cv=splits, method="predict_proba")
    found = {"baseline": (prior[:, 1], {"estimator": "prior"})}
    options = {}
    for learner, estimator in made.items():
        for kind, told in validated(pipeline(estimator), columns, left, splits).items():
            name = f"{learner}_{kind}".removesuffix("_none")
            options[name] = (learner, kind)
            found[name] = told, {"estimator": type(estimator).__name__, "calibration": kind}
    groups = [[each.gender == "female", each.senior_citizen] for each in train.records]
    wider = np.concatenate([columns, np.array(groups, dtype=object)], axis=1)
    told = validated(pipeline(made["boosting"]), wider, left, splits)["none"]
    parameters = {"estimator": type(made["boosting"]).__name__, "fields": "the protected ones too"}
    found[PROTECTED] = told, parameters
    candidates = []
    for name, (told, parameters) in found.items():
        parts = [brier_score_loss(left[held], told[held]) for _, held in splits.split(told, left)]
        curve, called = by_gain(told, left, monthly, offer)
        metrics = {"brier_std": float(np.std(parts)), "profit": float(curve[called])}
        even = Reliability.of(told, left)
        curves = {"told": even.told.tolist(), "happened": even.happened.tolist()}
        candidates.append(Candidate(name, figures(told, left) | metrics, parameters, curves))
    chosen = min(
        (each for each in candidates if each.name in options),
        key=lambda each: each.metrics["brier"],
    ).name
    learner, kind = options[chosen]
    best = pipeline(made[learner])
    calibration = calibrator(kind, out_of_fold(best, columns, left, folds), left)
    best.fit(columns, left)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)
    (weights / "calibration.json").write_text(json.dumps(asdict(calibration)) + "\n")
    (weights / "offer.json").write_text(json.dumps(asdict(offer)) + "\n")

    def native(customers: list[Customer]) -> list[ChurnRisk]:
        raw = best.predict_proba(together(features(customers)))[:, 1]
        return risks(customers, calibration(raw), offer)

    return Fitted(candidates, chosen, native)


def score(*, answers: list[ChurnRisk], truths: list[bool]) -> dict[str, float]:
    table, left = pd.DataFrame([each.model_dump() for each in answers]), np.array(truths)
    lost, called = left * table["revenue"], table["make_offer"]
    all_lost = max(float(lost.sum()), 1.0)
    return {
        **figures(table["probability"].to_numpy(), left),
        **measures.of_forecasts(left, "recall", decided=table["leaves"]),
        # Of the dollars that left: how many were foretold, and how many belonged to the called.
        "lost_revenue_told": float(table["revenue_at_stake"].sum()) / all_lost,
        "lost_revenue_called": float(lost[called].sum()) / all_lost,
        "called": float(called.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    left = np.array(evaluation.test.truths)
    told = np.array([each.probability for each in evaluation.answers])
    yield "calibration", calibrations(evaluation, told, left)
    yield "profit", profit(evaluation, told, left)
    figure, (first, second) = plots.panels(2)
    plots.roc(first, evaluation.test.truths, told)
    plots.precision_recall(second, evaluation.test.truths, told)
    yield "errors", figure
    yield "groups", groups(evaluation, told, left)
    yield "behaviour", behaviour(evaluation.train)


def calibrations(evaluation: Evaluation, told: np.ndarray, left: np.ndarray) -> Figure:
    """Told against happened: on the test rows, and of the candidates out of fold."""
    figure, (served, *axes) = plots.panels(3)
    title = f"As served, {len(left):,} test rows (95 %)"
    plots.reliability(served, Reliability.of(told, left), title)
    found = {each.name: each for each in evaluation.candidates}
    own = unweighted(evaluation.chosen)
    # XGBoost was not tried with weights.
    twin = f"{own}_balanced" if f"{own}_balanced" in found else "boosting_balanced"
    for panel, learner in zip(axes, (own, twin), strict=True):
        panel.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":")
        for kind, colour in zip(CALIBRATIONS, (plots.INK, plots.ACCENT, "#d1793b"), strict=True):
            each = found[f"{learner}_{kind}".removesuffix("_none")]
            brier, error = each.metrics["brier"], each.metrics["calibration_error"]
            panel.plot(
                each.curves["told"],
                each.curves["happened"],
                "o-",
                markersize=3,
                color=colour,
                label=f"{kind}: Brier {brier:.4f}, error {error:.3f}",
            )
        panel.legend(fontsize=7, loc="upper left")
        panel.set(xlabel="told", ylabel="happened", title=f"{learner} (validation)")
    return figure


def unweighted(candidate: str) -> str:
    """The learner without weights that a candidate's name starts with."""
    for suffix in (*CALIBRATIONS, "balanced"):
        candidate = candidate.removesuffix(f"_{suffix}")
    return candidate


def profit(evaluation: Evaluation, told: np.ndarray, left: np.ndarray) -> Figure:
    """Dollars a customer as more are called, and were one of the assumptions another."""
    offer = Offer(**json.loads((evaluation.weights / "offer.json").read_text()))
    monthly = np.array([each.monthly_charges for each in evaluation.test.records])
    revenue = offer.revenue(monthly)
    curve, called = by_gain(told, left, monthly, offer)
    figure, (first, *others) = plots.panels(4)
    share = 100 * np.arange(len(left) + 1) / len(left)
    curves = {
        "who leaves is known": (profits(left * revenue, left, revenue, offer), plots.INK, ":"),
        "by expected gain": (curve, plots.ACCENT, "-"),
        "by probability": (profits(told, left, revenue, offer), "#d1793b", "--"),
        "at random": (share / 100 * curve[-1], plots.PALE, "-"),
    }
    for name, (values, colour, style) in curves.items():
        first.plot(share, values, color=colour, linestyle=style, label=name)
    first.plot(share[called], curve[called], "o", color=plots.ACCENT)
    first.annotate(
        f"expected gain > 0:\n{share[called]:.0f} % called, ${curve[called]:.2f}",
        (share[called], curve[called]),
        xytext=(share[called] - 6, curve[called] * 0.6),
        fontsize=7,
    )
    title = f"Profit: ${offer.cost:g} an offer, keeps {100 * offer.success_rate:g} %, "
    title += f"{offer.horizon_months:g} months"
    first.set(xlabel="customers called, %", title=title)
    for panel, (field, (name, most)) in zip(others, ASSUMED.items(), strict=True):
        values = np.linspace(0, most, 25)
        model, everyone = sensitivity(field, values, told, left, monthly, offer)
        panel.plot(values, model, color=plots.ACCENT, label="those with an expected gain")
        panel.plot(values, everyone, color=plots.PALE, label="everyone")
        panel.axvline(getattr(offer, field), color=plots.INK, linestyle=":", linewidth=0.8)
        panel.set(xlabel=name, title=f"Profit at another {name.partition(',')[0]}")
    for panel in (first, *others):
        panel.axhline(0, color=plots.INK, linewidth=0.6)
        panel.set_ylabel("dollars a customer")
        panel.legend(fontsize=7, loc="upper right" if panel is first else "best")
    return figure


# What is assumed of an offer: its name, and up to where it is varied.
ASSUMED = {
    "success_rate": ("success rate", 0.6),
    "cost": ("cost, dollars", 150.0),
    "horizon_months": ("horizon, months", 36.0),
}


def sensitivity(
    field: str,
    values: np.ndarray,
    told: np.ndarray,
    left: np.ndarray,
    monthly: np.ndarray,
    offer: Offer,
) -> tuple[list[float], list[float]]:
    """Profit at each value of one assumption: of calling by expected gain, and of calling all."""
    others = [replace(offer, **{field: float(value)}) for value in values]
    found = [by_gain(told, left, monthly, other) for other in others]
    return [curve[called] for curve, called in found], [curve[-1] for curve, _ in found]


def groups(evaluation: Evaluation, told: np.ndarray, left: np.ndarray) -> Figure:
    """Told and happened by protected group, with the group's area under the ROC curve."""
    records = evaluation.test.records
    women = np.array([each.gender == "female" for each in records])
    senior = np.array([each.senior_citizen for each in records])
    every = {"women": women, "men": ~women, "under 65": ~senior, "65 or older": senior}
    members = {name: rows for name, rows in every.items() if 0 < left[rows].sum() < rows.sum()}
    parts = [(told[rows].mean(), left[rows].mean(), rows.sum()) for rows in members.values()]
    found = Reliability(*np.array(parts).T)
    names = [f"{name}\n{rows.sum()}" for name, rows in members.items()]
    figure, (first, second) = plots.panels(2)
    shares = {"told": found.told, "happened (95 %)": found.happened}
    title = "Share that leaves, by group (test rows)"
    plots.bars(first, names, shares, title, reach=found.reach)
    areas = [roc_auc_score(left[rows], told[rows]) for rows in members.values()]
    plots.bars(second, names, areas, "Area under the ROC curve, by group", form="{:.3f}", size=9)
    second.set_ylim(0.5, 1)
    return figure


def behaviour(train: Examples[Customer, bool]) -> Figure:
    figure, axes = plots.panels(3)
    years = ["1st year", "2nd", "3rd", "4th", "5th", "6th or later"]
    over = [sum(getattr(each, name) for name in SERVICES) for each in train.records]
    told = {
        "contract": [each.contract.replace("_", " ") for each in train.records],
        "services over internet": [str(each) for each in over],
        "year of tenure": [years[year_of(each.tenure) - 1] for each in train.records],
    }
    for panel, (name, values) in zip(axes, told.items(), strict=True):
        plots.share(panel, values, train.truths, f"Left, by {name}")
    return figure


def year_of(tenure: int) -> int:
    """1 of the first twelve months, as `first_year` counts them; at most 6."""
    return min(max(tenure - 1, 0) // 12 + 1, 6)
