"""Test metrics of the served predictions, and pictures of the cost of each kind of join."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.training.calibration import Reliability

from .metrics import delay_metrics
from .model import Delay


def score(*, predictions: list[Delay], labels: list[bool]) -> dict[str, float]:
    y_prob = np.array([each.probability for each in predictions])
    late = [each.late for each in predictions]
    shares = {
        "probability": float(y_prob.mean()),
        "late_predicted": float(np.mean(late)),
        "late_true": float(np.mean(labels)),
    }
    decisions = binary_metrics(labels, "precision", "recall", y_pred=late)
    return delay_metrics(labels, y_prob) | decisions | shares


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    named = {each.name: each for each in evaluation.candidates}
    joins = [name for name in named if name.startswith("join_")]
    shown = ("join_32", "join_salted", "join_adaptive", "join_adaptive_split")
    read = {name: named[name].curves["rows_a_task"] for name in shown}
    figure, axes = plots.panels(len(read))
    for panel, (name, rows) in zip(axes, read.items(), strict=True):
        panel.bar(range(1, len(rows) + 1), rows, color=plots.ACCENT)
        panel.set(
            xlabel="task, the largest first",
            ylabel="flights",
            ylim=(0, 1.05 * max(map(max, read.values()))),
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
