"""Score repurchase probabilities; draw calibration, ranking, gains and groups of customers."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate, LabelledRows
from slipway.training.calibration import Reliability, expected_calibration_error
from slipway.training.validation import brier_skill

from .metrics import NAMES
from .model import Repurchase, Shopper

BINS = ("y_prob", "observed", "rows")


def score(*, predictions: list[Repurchase], labels: list[bool]) -> dict[str, float]:
    """Return the metrics of the probabilities; the baseline knows the last order's day alone."""
    y_prob, bought = np.array([each.probability for each in predictions]), np.array(labels)
    best = np.argsort(-y_prob, kind="stable")[: max(1, len(y_prob) // 10)]
    by_recency = np.array([each.by_recency for each in predictions])

    def skill(rows: np.ndarray) -> float:
        return brier_skill(bought[rows], y_prob[rows])

    return {
        # Each customer has one test row. All have the same season, whose luck is not resampled.
        **metric_with_interval("brier_skill", skill, len(bought)),
        "baseline_brier_skill": brier_skill(bought, by_recency),
        **binary_metrics(bought, *NAMES, "calibration_error", y_prob=y_prob),
        "accuracy": float(np.mean((y_prob >= 0.5) == bought)),
        "share_of_buyers": float(bought.mean()),
        "share_expected": float(y_prob.mean()),
        "share_in_best_tenth": float(bought[best].mean()),
    }


def describe(candidate: Candidate) -> dict[str, float]:
    """Return the calibration error on the rows on which candidates are compared."""
    bins = Reliability(*(np.array(candidate.curves[name]) for name in BINS))
    return {"calibration_error": expected_calibration_error(bins)}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    y_prob = np.array([each.probability for each in evaluation.predictions])
    bought = np.array(evaluation.test.labels)
    figure, (left, right) = plots.panels(2)
    tenths = Reliability.from_predictions(y_prob, bought)
    plots.reliability(left, tenths, "Calibration (test rows)", label="a tenth of the customers")
    left.set(ylabel="bought again")
    left.legend()
    gains(right, y_prob, bought)
    yield "calibration", figure
    figure, (left, right) = plots.panels(2)
    curves.roc(left, evaluation.test.labels, y_prob)
    curves.precision_recall(right, evaluation.test.labels, y_prob)
    yield "ranking", figure
    figure, axes = plots.panels(3)
    records, labels = evaluation.train.records, evaluation.train.labels
    groups = {
        "days since the last order": [
            span(each.days_since_purchase, (30, 90, 180, 365)) for each in records
        ],
        "orders so far": [span(each.orders, (2, 3, 5, 10)) for each in records],
        "share sent back": [span(100 * each.return_share, (0.01, 2, 5, 10)) for each in records],
    }
    units = ("days", "orders", "% of the value")
    for panel, unit, (name, values) in zip(axes, units, groups.items(), strict=True):
        plots.positive_rate(panel, values, labels, f"Bought again, by {name}")
        panel.set(xlabel=f"group: {unit}", ylabel="share who bought (on the bar: training rows)")
    yield "customers", figure
    yield "seasons", seasons(evaluation)


def seasons(evaluation: Evaluation) -> Figure:
    """Draw the share of buyers at each moment, and the share that the model expects at the last."""
    figure, (axes,) = plots.panels(1)
    groups = [group_by_moment(rows) for rows in (evaluation.train, evaluation.test)]
    shares = [share for moments in groups for share in moments]
    names = [f"{day:%d %b}" for day, _ in shares]
    colours = [plots.PALE] * (len(shares) - 1) + [plots.INK]
    places = np.arange(len(shares))
    drawn = axes.bar(places, [share for _, share in shares], color=colours)
    axes.bar_label(drawn, [f"{share:.0%}" for _, share in shares], fontsize=8)
    expected = float(np.mean([each.probability for each in evaluation.predictions]))
    axes.plot(places[-1], expected, "D", color=plots.ACCENT, label=f"expected: {expected:.0%}")
    axes.set_xticks(places, names)
    axes.set(
        xlabel="the 90 days from this day on; the last are the test", ylabel="share who bought"
    )
    axes.set(ylim=(0, 0.8), title="Buyers by season")
    axes.legend()
    return figure


def group_by_moment(rows: LabelledRows[Shopper, bool]) -> list[tuple[date, float]]:
    """Return each moment's day, in a year like any other, and its share of buyers."""
    days = np.array([each.day_of_year for each in rows.records])
    borders = np.flatnonzero(np.diff(days)) + 1
    parts = np.split(np.arange(len(days)), borders)
    bought = np.array(rows.labels)
    start = date(2010, 1, 1)
    return [
        (start + timedelta(days=int(days[part[0]]) - 1), float(bought[part].mean()))
        for part in parts
    ]


def span(value: float, borders: tuple[float, ...]) -> str:
    """Return the span of the value as text, like `2: 90-180`, numbered so that spans sort."""
    place = sum(value >= border for border in borders)
    low = f"{borders[place - 1]:g}" if place else ""
    high = f"{borders[place]:g}" if place < len(borders) else ""
    span_text = f"{low}-{high}" if low and high else f"< {high}" if high else f">= {low}"
    return f"{place + 1}: {span_text}"


def gains(axes: Axes, y_prob: np.ndarray, bought: np.ndarray) -> None:
    """Draw the share of all later buyers among the customers with the highest probability."""
    order = np.argsort(-y_prob, kind="stable")
    reached = np.concatenate([[0.0], np.cumsum(bought[order]) / max(1, bought.sum())])
    contacted = np.linspace(0, 1, len(reached))
    axes.plot(contacted, reached, color=plots.ACCENT, label="by probability")
    axes.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":", label="at random")
    axes.set(xlabel="share of customers written to", ylabel="share of buyers reached")
    axes.legend(loc="lower right")
    axes.set_title("Gains (test rows)")
