"""Test metrics of the served predictions, and pictures of rounds, clients and privacy."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.training import Candidate

from .model import Income


def score(*, predictions: list[Income], labels: list[bool]) -> dict[str, float]:
    y_prob = [each.probability for each in predictions]
    y_pred = [each.over_50k for each in predictions]
    names = ("roc_auc", "accuracy", "log_loss", "brier")
    return {
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
        shown += [f"{way}{kind}_5" for way in ("fedavg", "fedprox")]
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
    means = [table.groupby(field)[columns].mean() for field in ("sex", "race")]
    by_group = pd.concat(means)
    shares = {str(kind): column.tolist() for kind, column in by_group.items()}
    names = by_group.index.str.replace("_", " ").tolist()
    plots.bars(axes, names, shares, "Over 50,000 dollars (test rows)", horizontal=True)
