"""Test metrics of the served predictions, and pictures of calibration and profit."""

import json
from collections.abc import Iterator
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate, LabelledRows
from slipway.training.calibration import Reliability, expected_calibration_error
from slipway.training.resampled import roc_auc_by_rows
from slipway.training.selection import bootstrap_interval

from .metrics import CALIBRATIONS, by_gain, profits
from .model import SERVICES, ChurnRisk, Customer, Offer


def score(*, predictions: list[ChurnRisk], labels: list[bool]) -> dict[str, float]:
    table, left = pd.DataFrame([each.model_dump() for each in predictions]), np.array(labels)
    lost, called = left * table["revenue"], table["make_offer"]
    all_lost = max(float(lost.sum()), 1.0)
    names = ("log_loss", "calibration_error", "roc_auc", "average_precision")
    squares = (table["probability"].to_numpy() - left) ** 2
    return {
        # Over customers.
        **metric_with_interval("brier", lambda rows: float(squares[rows].mean()), len(left)),
        # The baseline predicts one share for everybody. The splits have the same share of leavers,
        # and no other constant has a lower Brier score.
        "baseline_brier": float(left.var()),
        **binary_metrics(left, *names, y_prob=table["probability"]),
        **binary_metrics(left, "recall", y_pred=table["leaves"]),
        # Relative to the revenue of all who left: the predicted loss, and the share of those
        # called.
        "lost_revenue_predicted": float(table["revenue_at_stake"].sum()) / all_lost,
        "lost_revenue_called": float(lost[called].sum()) / all_lost,
        "called": float(called.mean()),
    }


def describe(candidate: Candidate) -> dict[str, float]:
    """Return the expected calibration error of the candidate's out-of-fold probabilities."""
    return {"calibration_error": expected_calibration_error(reliability_of(candidate))}


def reliability_of(candidate: Candidate) -> Reliability:
    """Return the bins that `fit` stored."""
    bins = (np.array(candidate.curves[name]) for name in ("y_prob", "observed", "rows"))
    return Reliability(*bins)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    left = np.array(evaluation.test.labels)
    y_prob = np.array([each.probability for each in evaluation.predictions])
    yield "calibration", calibrations(evaluation, y_prob, left)
    yield "profit", profit(evaluation, y_prob, left)
    figure, (first, second) = plots.panels(2)
    curves.roc(first, evaluation.test.labels, y_prob)
    curves.precision_recall(second, evaluation.test.labels, y_prob)
    yield "errors", figure
    yield "groups", groups(evaluation, y_prob, left)
    yield "behaviour", behaviour(evaluation.train)


def calibrations(evaluation: Evaluation, y_prob: np.ndarray, left: np.ndarray) -> Figure:
    """Draw reliability curves of the served model on test rows, and of candidates out of fold."""
    figure, (served, *axes) = plots.panels(3)
    title = f"As served, {len(left):,} test rows (95 %)"
    plots.reliability(served, Reliability.from_predictions(y_prob, left), title)
    found = {each.name: each for each in evaluation.candidates}
    own = unweighted(evaluation.chosen)
    # XGBoost was not tried with weights.
    twin = f"{own}_balanced" if f"{own}_balanced" in found else "boosting_balanced"
    for panel, learner in zip(axes, (own, twin), strict=True):
        panel.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":")
        for kind, colour in zip(CALIBRATIONS, (plots.INK, plots.ACCENT, "#d1793b"), strict=True):
            each = found[f"{learner}_{kind}".removesuffix("_none")]
            brier, error = each.metrics["brier"], each.metrics["calibration_error"]
            label = f"{kind}: Brier {brier:.4f}, error {error:.3f}"
            bins = reliability_of(each)
            panel.plot(bins.y_prob, bins.observed, "o-", markersize=3, color=colour, label=label)
        panel.legend(fontsize=7, loc="upper left")
        panel.set(xlabel="predicted", ylabel="observed", title=f"{learner} (validation)")
    return figure


def unweighted(candidate: str) -> str:
    """Return the learner in a candidate's name, without its weights and calibration."""
    for suffix in (*CALIBRATIONS, "balanced"):
        candidate = candidate.removesuffix(f"_{suffix}")
    return candidate


def profit(evaluation: Evaluation, y_prob: np.ndarray, left: np.ndarray) -> Figure:
    """Draw dollars per customer by the share called, and by the value of each assumption."""
    offer = Offer(**json.loads((evaluation.weights / "offer.json").read_text()))
    monthly = np.array([each.monthly_charges for each in evaluation.test.records])
    revenue = offer.revenue(monthly)
    curve, called = by_gain(y_prob, left, monthly, offer)
    figure, grid = plt.subplots(2, 2, figsize=(9.2, 7.2))
    first, *others = grid.flat
    share = 100 * np.arange(len(left) + 1) / len(left)
    curves = {
        "who leaves is known": (profits(left * revenue, left, revenue, offer), plots.INK, ":"),
        "by expected gain": (curve, plots.ACCENT, "-"),
        "by probability": (profits(y_prob, left, revenue, offer), "#d1793b", "--"),
        "at random": (share / 100 * curve[-1], plots.PALE, "-"),
    }
    for name, (values, colour, style) in curves.items():
        first.plot(share, values, color=colour, linestyle=style, label=name)
    first.plot(share[called], curve[called], "o", color=plots.ACCENT)
    first.annotate(
        f"expected gain > 0:\n{share[called]:.0f} % called, ${curve[called]:.2f}",
        (share[called], curve[called]),
        xytext=(share[called] - 6, curve[called] * 0.6),
        fontsize=8,
    )
    title = f"Profit: ${offer.cost:g} an offer, keeps {100 * offer.success_rate:g} %, "
    title += f"{offer.horizon_months:g} months"
    first.set(xlabel="customers called, %", title=title)
    for panel, (field, (name, most)) in zip(others, ASSUMED.items(), strict=True):
        values = np.linspace(0, most, 25)
        model, everyone = sensitivity(field, values, y_prob, left, monthly, offer)
        panel.plot(values, model, color=plots.ACCENT, label="those with an expected gain")
        panel.plot(values, everyone, color=plots.PALE, label="everyone")
        panel.axvline(getattr(offer, field), color=plots.INK, linestyle=":", linewidth=0.8)
        panel.set(xlabel=name, title=f"Profit at another {name.partition(',')[0]}")
    for panel in (first, *others):
        panel.axhline(0, color=plots.INK, linewidth=0.6)
        panel.set_ylabel("dollars a customer")
        panel.legend(fontsize=8, loc="upper right" if panel is first else "best")
    return figure


# The assumptions about an offer: the name of each, and the largest value to draw.
ASSUMED = {
    "success_rate": ("success rate", 0.6),
    "cost": ("cost, dollars", 150.0),
    "horizon_months": ("horizon, months", 36.0),
}


def sensitivity(
    field: str,
    values: np.ndarray,
    y_prob: np.ndarray,
    left: np.ndarray,
    monthly: np.ndarray,
    offer: Offer,
) -> tuple[list[float], list[float]]:
    """Return profits at each value of one assumption, of calling by expected gain and of all."""
    others = [replace(offer, **{field: float(value)}) for value in values]
    results = [by_gain(y_prob, left, monthly, other) for other in others]
    return [curve[called] for curve, called in results], [curve[-1] for curve, _ in results]


def groups(evaluation: Evaluation, y_prob: np.ndarray, left: np.ndarray) -> Figure:
    """Draw predicted and observed shares by protected group, and each group's ROC AUC."""
    records = evaluation.test.records
    women = np.array([each.gender == "female" for each in records])
    senior = np.array([each.senior_citizen for each in records])
    every = {"women": women, "men": ~women, "under 65": ~senior, "65 or older": senior}
    members = {name: rows for name, rows in every.items() if 0 < left[rows].sum() < rows.sum()}
    parts = [(y_prob[rows].mean(), left[rows].mean(), rows.sum()) for rows in members.values()]
    found = Reliability(*np.array(parts).T)
    names = [f"{name}\n{rows.sum()}" for name, rows in members.items()]
    figure, (first, second) = plots.panels(2)
    shares = {"predicted": found.y_prob, "observed (95 %)": found.observed}
    title = "Share that leaves, by group (test rows)"
    plots.bars(first, names, shares, title, half_width=found.margin)
    areas = {}
    for name, rows in members.items():
        area = roc_auc_by_rows(left[rows], y_prob[rows])
        count = int(rows.sum())
        areas[name] = (area(np.arange(count)), *bootstrap_interval(area, count, seed=0))
    title = "Area under the ROC curve, by group (95 %)"
    plots.intervals(second, areas, title, fmt="{:.3f}", no_effect=0.5)
    return figure


def behaviour(train: LabelledRows[Customer, bool]) -> Figure:
    """Draw the share that left by contract, services and tenure."""
    figure, axes = plots.panels(3)
    years = ["1st year", "2nd", "3rd", "4th", "5th", "6th or later"]
    over = [sum(getattr(each, name) for name in SERVICES) for each in train.records]
    fields = {
        "contract": [each.contract.replace("_", " ") for each in train.records],
        "services over internet": [str(each) for each in over],
        "year of tenure": [years[year_of(each.tenure) - 1] for each in train.records],
    }
    for panel, (name, values) in zip(axes, fields.items(), strict=True):
        plots.positive_rate(panel, values, train.labels, f"Left, by {name}")
        panel.set(ylim=(0, 0.6), xlabel=f"{name}; on the bar: training customers")
    axes[0].set_ylabel("share that left within the month")
    return figure


def year_of(tenure: int) -> int:
    """Return the year of a tenure in months, 1 for the first twelve and at most 6."""
    return min(max(tenure - 1, 0) // 12 + 1, 6)
