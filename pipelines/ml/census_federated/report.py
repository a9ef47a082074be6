"""Test metrics of the served predictions, and pictures of rounds, clients and privacy."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.reporting.uncertainty import baseline_metric, metric_with_interval
from slipway.training import Candidate
from slipway.training.calibration import Reliability
from slipway.training.resampled import roc_auc_by_rows

from .model import Income


def score(*, predictions: list[Income], labels: list[bool]) -> dict[str, float]:
    y_prob = [each.probability for each in predictions]
    y_pred = [each.over_50k for each in predictions]
    names = ("accuracy", "log_loss", "brier")
    by_rows = roc_auc_by_rows(np.array(labels), np.array(y_prob))
    # The baseline predicts the same for everybody.
    same = roc_auc_by_rows(np.array(labels), np.zeros(len(labels)))
    return {
        # Over people.
        **metric_with_interval("roc_auc", by_rows, len(labels)),
        **baseline_metric("roc_auc", same, len(labels)),
        **binary_metrics(labels, *names, y_prob=y_prob, y_pred=y_pred),
        "mean_probability": float(np.mean(y_prob)),
        "share_over_50k": float(np.mean(labels)),
    }


def area(candidate: Candidate) -> float:
    return candidate.metrics["roc_auc"]


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    named = {each.name: each for each in evaluation.candidates}
    figure, axes = plots.panels(2)
    for panel, kind, unlike in zip(axes, ("", "_jobs"), ("income", "occupation"), strict=True):
        shown = ["centralized", "fedavg_alike", f"fedavg{kind}"]
        shown += [f"fedavg{kind}_5"]
        shown += [name for name in named if re.fullmatch(rf"fedprox{kind}_[\d.e-]+", name)]
        title = f"Unlike by {unlike} (validation)"
        plots.curves(panel, [named[name] for name in shown], "roc_auc", title)
        level = area(named["centralized_converged"])
        panel.axhline(level, color=plots.INK, linestyle=":", label="centralized_converged")
        panel.legend()
        panel.set(xlabel="round", ylim=(0.87, 0.92))
    yield "rounds", figure
    figure, (left, right) = plots.panels(2)
    each_alone(left, named)
    privacy(right, named)
    yield "alone_and_private", figure
    figure, (left, right) = plots.panels(2)
    curves.roc(left, evaluation.test.labels, [each.probability for each in evaluation.predictions])
    groups(right, evaluation)
    yield "errors", figure


def each_alone(axes: Axes, named: dict[str, Candidate]) -> None:
    curves, level = named["alone"].curves, area(named["fedavg"])
    size = np.sqrt(np.array(curves["rows"])) * 2
    axes.scatter(curves["share"], curves["alone"], s=size, color=plots.ACCENT, label="a client")
    axes.axhline(level, color=plots.INK, linestyle=":", label="all, by FedAvg")
    axes.set(xlabel="its share over 50,000 dollars (size: rows)", ylabel="roc_auc")
    axes.legend(loc="lower right")
    axes.set_title("Each client alone (validation)")


def privacy(axes: Axes, named: dict[str, Candidate]) -> None:
    shown = [each for each in named.values() if "epsilon" in each.metrics]
    spent, areas = [each.metrics["epsilon"] for each in shown], [area(each) for each in shown]
    axes.plot(spent, areas, "o-", color=plots.ACCENT)
    for each, place in zip(shown, zip(spent, areas, strict=True), strict=True):
        text = f"noise {each.parameters['noise']:g}\nepsilon {place[0]:.2g}"
        # Up and to the left, clear of the curve and the line.
        axes.annotate(
            text, place, (-4, 4), textcoords="offset points", size=7, ha="right", va="bottom"
        )
    clipped = named["devices_clipped"]
    axes.axhline(area(clipped), color=plots.INK, linestyle=":", label="clipped, no noise")
    axes.margins(x=0.25, y=0.15)
    label = f"epsilon at delta {clipped.parameters['delta']:g}"
    title = f"Privacy, {clipped.parameters['clients']:,} clients (validation)"
    axes.set(xscale="log", xlabel=label, ylabel="roc_auc", title=title)
    axes.legend(loc="lower right")


def groups(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the mean predicted probability and the share of positives of each protected group."""
    table = pd.DataFrame([each.model_dump() for each in evaluation.test.records])
    table["mean_probability"] = [each.probability for each in evaluation.predictions]
    table["share_over_50k"] = evaluation.test.labels
    columns = ["mean_probability", "share_over_50k"]
    by_group = pd.concat(
        [table.groupby(field)[columns].agg(["mean", "size"]) for field in ("sex", "race")]
    )
    parts = (
        by_group[columns[0], "mean"],
        by_group[columns[1], "mean"],
        by_group[columns[0], "size"],
    )
    found = Reliability(*(each.to_numpy() for each in parts))
    names = [
        f"{group.replace('_', ' ')} ({rows:,})"
        for group, rows in zip(by_group.index, found.rows.tolist(), strict=True)
    ]
    shares = {"mean probability": found.y_prob, "observed (95 %)": found.observed}
    title = "Over 50,000 dollars (test rows)"
    plots.bars(axes, names, shares, title, horizontal=True, half_width=found.margin)
