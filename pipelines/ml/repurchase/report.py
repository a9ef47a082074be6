"""Score repurchase probabilities; draw calibration, ranking, gains and groups of customers."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.training import Candidate
from slipway.training.calibration import Reliability, expected_calibration_error
from slipway.training.validation import brier_skill

from .metrics import NAMES
from .model import Repurchase

BINS = ("y_prob", "observed", "rows")


def score(*, predictions: list[Repurchase], labels: list[bool]) -> dict[str, float]:
    y_prob, bought = np.array([each.probability for each in predictions]), np.array(labels)
    best = np.argsort(-y_prob, kind="stable")[: max(1, len(y_prob) // 10)]
    return {
        "brier_skill": brier_skill(bought, y_prob),
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
    for panel, (name, values) in zip(axes, groups.items(), strict=True):
        plots.positive_rate(panel, values, labels, f"Bought again, by {name}")
    yield "customers", figure


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
