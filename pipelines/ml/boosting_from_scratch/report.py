"""Test metrics of the served predictions, and pictures of limits, speed and losses."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate

from .boosting import Absolute, Huber, LogLoss, Squared
from .metrics import errors
from .model import UNIT, Worth, features


def score(*, predictions: list[Worth], labels: list[float]) -> dict[str, float]:
    y_pred, y_true = np.array([each.value for each in predictions]) / UNIT, np.array(labels)
    off = np.abs(y_pred * UNIT / y_true - 1)
    squares = (y_pred * UNIT - y_true) ** 2
    return {
        # Over blocks. Neighbours have similar errors, so the true interval is wider.
        **metric_with_interval(
            "rmse", lambda rows: float(np.sqrt(squares[rows].mean())), len(squares)
        ),
        # The baseline predicts one value for every block. No single value has a lower RMSE than the
        # mean of these rows.
        "baseline_rmse": float(y_true.std()),
        **errors(y_pred, y_true / UNIT),
        "median_relative_error": float(np.median(off)),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (left, right) = plots.panels(2)
    curves = [each for each in evaluation.candidates if "rmse" in each.curves]
    plots.curves(left, curves, "rmse", "Limits (validation)")
    left.set(xlabel="trees", ylabel="RMSE, dollars", ylim=(42_000, 80_000))
    left.legend(fontsize=7, loc="upper right")
    speed(right, evaluation.candidates)
    yield "limits_and_speed", figure
    figure, (left, right) = plots.panels(2)
    shapes(left)
    tried = {each.name: each.metrics for each in evaluation.candidates}
    names = ("squared", "absolute", "huber")
    dollars = {metric: [tried[name][metric] for name in names] for metric in ("rmse", "mae")}
    plots.bars(right, names, dollars, "Dollars off, by loss (validation)", fmt="{:.0f}")
    yield "losses", figure
    y_pred = np.array([each.value for each in evaluation.predictions])
    y_true = np.array(evaluation.test.labels)
    figure, (left, right) = plots.panels(2, height=4.2)
    left.hexbin(y_true / 1000, y_pred / 1000, gridsize=50, bins="log", cmap="GnBu", mincnt=1)
    left.plot([0, 500], [0, 500], color=plots.INK, linestyle=":")
    left.set(xlabel="true, 1000 dollars", ylabel="answered", title="Values (test rows)")
    east, north = features(evaluation.test.records)["numbers"][:, :2].T
    off = (y_pred - y_true) / 1000
    shown = right.scatter(east, north, c=off, s=3, linewidths=0, cmap="RdBu", vmin=-150, vmax=150)
    figure.colorbar(shown, ax=right, shrink=0.8)
    right.set(xlabel="longitude", ylabel="latitude", title="Answer less truth, 1000 dollars")
    yield "errors", figure


def speed(axes: Axes, tried: list[Candidate]) -> None:
    """Draw the fit times of speed.json with the errors beside them; our own are in colour."""
    seconds = json.loads(Path(__file__).with_name("speed.json").read_text())
    shown = [each for each in tried if "rmse" in each.metrics and each.name != "baseline"]
    shown.sort(key=lambda each: seconds[each.name])
    bars = axes.barh(
        [each.name for each in shown],
        [seconds[each.name] for each in shown],
        color=[plots.INK if each.parameters["library"] else plots.ACCENT for each in shown],
    )
    axes.bar_label(bars, [f" {each.metrics['rmse']:,.0f}" for each in shown], fontsize=7)
    axes.tick_params("y", labelsize=7)
    axes.invert_yaxis()
    axes.set(xscale="log", xlim=(0.1, 60), xlabel="seconds to fit, one thread; RMSE, dollars")
    axes.set(title="Ours and the libraries (validation)")


def shapes(axes: Axes) -> None:
    """Draw the loss of one row by its error."""
    off = np.linspace(-3, 3, 121)
    for name, loss, label in (
        ("squared", Squared(), 0),
        ("absolute", Absolute(), 0),
        ("huber", Huber(), 0),
        ("log-loss", LogLoss(), 1),
    ):
        axes.plot(off, [loss.mean(np.array([label]), each) for each in off], label=name)
    axes.set(xlabel="score less truth (log-loss: log odds)", title="Losses", ylim=(0, 4))
    axes.legend(loc="upper center")
