"""Test metrics of the served predictions, and pictures of the cost of each kind of join."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_auc_score

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.reporting.uncertainty import metric_with_interval, over_groups
from slipway.training.calibration import Reliability

from .metrics import delay_metrics
from .model import Delay

# The test rows are a month, in order of days that have about equally many flights.
DAYS = 30


def score(*, predictions: list[Delay], labels: list[bool]) -> dict[str, float]:
    """Return the metrics of the probabilities; the baseline is the share of the route's month."""
    y_prob, y_true = np.array([each.probability for each in predictions]), np.array(labels)
    # Flights of a day share its weather, so days are resampled.
    days = np.array_split(np.arange(len(y_true)), DAYS)
    by_day = over_groups(lambda rows: float(roc_auc_score(y_true[rows], y_prob[rows])), days)
    metrics = delay_metrics(labels, y_prob)
    late = [each.late for each in predictions]
    shares = {
        "probability": float(y_prob.mean()),
        "late_predicted": float(np.mean(late)),
        "late_true": float(np.mean(labels)),
    }
    decisions = binary_metrics(labels, "precision", "recall", y_pred=late)
    return {
        **metric_with_interval("roc_auc", by_day, DAYS),
        "baseline_roc_auc": float(roc_auc_score(y_true, [each.usual for each in predictions])),
        **{name: value for name, value in metrics.items() if name != "roc_auc"},
        **decisions,
        **shares,
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    named = {each.name: each for each in evaluation.candidates}
    joins = [name for name in named if name.startswith("join_")]
    shown = ("join_32", "join_salted", "join_adaptive", "join_adaptive_split")
    read = {name: named[name].curves["rows_a_task"] for name in shown}
    # Two rows of two: four in a row are too small in the README.
    figure, grid = plt.subplots(2, 2, figsize=(9.2, 5.4), sharey=True)
    for panel, (name, rows) in zip(grid.flat, read.items(), strict=True):
        # Tasks of different configurations differ in number, so rows are relative to an even share.
        relative = np.array(rows) * len(rows) / sum(rows)
        panel.bar(range(1, len(rows) + 1), relative, color=plots.ACCENT)
        panel.axhline(1, color=plots.INK, linestyle=":", linewidth=0.8)
        panel.set(
            xlabel="task, the largest first",
            ylabel="flights (1: an even share)",
            title=f"{name}: {max(rows) / sum(rows):.1%} in one of {len(rows)}",
        )
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    yield "skew", figure
    figure, axes = plots.panels(2)
    titles = {"shuffled_mb": "Megabytes shuffled", "tasks": "Tasks run"}
    for panel, (metric, title) in zip(axes, titles.items(), strict=True):
        values = [named[name].metrics[metric] for name in joins]
        plots.bars(panel, joins, values, title, horizontal=True, fmt="{:.4g}")
    yield "configurations", figure
    figure, axes = plots.panels(2)
    y_true, y_prob = evaluation.test.labels, [each.probability for each in evaluation.predictions]
    curves.roc(axes[0], y_true, y_prob)
    bins = Reliability.from_predictions(np.array(y_prob), np.array(y_true))
    plots.reliability(axes[1], bins, "Calibration (test rows)")
    axes[1].set(xlabel="predicted probability, by tenths", ylabel="were late")
    yield "errors", figure
