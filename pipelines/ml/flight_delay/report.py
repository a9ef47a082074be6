"""Reporting: metrics of the served probabilities, and what each way to join costs."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.training.calibration import Reliability

from .metrics import delay_metrics
from .model import Delay


def score(*, answers: list[Delay], truths: list[bool]) -> dict[str, float]:
    y_prob = np.array([each.probability for each in answers])
    late = [each.late for each in answers]
    shares = {
        "probability": float(y_prob.mean()),
        "late_told": float(np.mean(late)),
        "late_true": float(np.mean(truths)),
    }
    decisions = binary_metrics(truths, "precision", "recall", y_pred=late)
    return delay_metrics(truths, y_prob) | decisions | shares


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
        plots.bars(panel, joins, values, title, lying=True, form="{:.4g}")
    yield "configurations", figure
    figure, axes = plots.panels(2)
    truths, told = evaluation.test.truths, [each.probability for each in evaluation.answers]
    curves.roc(axes[0], truths, told)
    found = Reliability.of(np.array(told), np.array(truths))
    plots.reliability(axes[1], found, "Calibration (test rows)")
    axes[1].set(xlabel="told, by tenths", ylabel="were late")
    yield "errors", figure
