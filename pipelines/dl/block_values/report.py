"""Score the values and intervals; draw learning curves, residuals, intervals and the map."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .model import UNIT, BlockValue

COLOURS = {
    "unscaled": plots.PALE,
    "unscaled_huber": "#d9a441",
    "scaled": "#7fa8b3",
    "huber": plots.INK,
    "waves": plots.ACCENT,
    "waves_huber": "tab:red",
}


def score(*, predictions: list[BlockValue], labels: list[float]) -> dict[str, float]:
    """Return the errors in 100,000 dollars, and what the intervals hold."""
    y_true = np.array(labels) / UNIT
    value, low, high, linear = columns(predictions)
    squares = (value - y_true) ** 2
    ends = bootstrap_interval(
        lambda rows: float(np.sqrt(squares[rows].mean())), len(squares), seed=0
    )
    return {
        "rmse": float(root_mean_squared_error(y_true, value)),
        "rmse_low": ends[0],
        "rmse_high": ends[1],
        "baseline_rmse": float(root_mean_squared_error(y_true, linear)),
        "mae": float(mean_absolute_error(y_true, value)),
        "baseline_mae": float(mean_absolute_error(y_true, linear)),
        "r2": float(r2_score(y_true, value)),
        "coverage": float(np.mean((low <= y_true) & (y_true <= high))),
        "width": float(np.median(high - low)),
    }


def columns(predictions: list[BlockValue]) -> np.ndarray:
    """Return value, low, high and linear value (4, rows) in 100,000 dollars."""
    return (
        np.array([(each.value, each.low, each.high, each.linear_value) for each in predictions]).T
        / UNIT
    )


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "values", values(evaluation)
    figure, (left, right) = plots.panels(2, height=3.8)
    for each in evaluation.candidates:
        if each.name in COLOURS:
            epochs = range(1, len(each.curves["loss"]) + 1)
            for axes, curve in ((left, "loss"), (right, "rmse")):
                axes.plot(epochs, each.curves[curve], color=COLOURS[each.name], label=each.name)
    known = {each.name: each.metrics["rmse"] for each in evaluation.candidates}
    right.axhline(known["baseline"], color=plots.INK, linestyle=":", label="linear regression")
    left.set(xlabel="epoch", ylabel="loss", ylim=(0, 1.2), title="Loss (squared or Huber)")
    right.set(xlabel="epoch", ylabel="RMSE, 100,000 dollars", ylim=(0.45, 1.6))
    right.set_title("RMSE on rows held out")
    right.legend(ncols=2)
    yield "learning_curves", figure
    yield "residuals", residuals(evaluation)
    yield "intervals", intervals(evaluation)


def values(evaluation: Evaluation) -> Figure:
    """Draw predicted values on the map, and against the true ones."""
    y_true = np.array(evaluation.test.labels) / UNIT
    value, *_ = columns(evaluation.predictions)
    figure, (left, right) = plots.panels(2, height=4.2)
    records = evaluation.test.records
    east, north = ([getattr(each, name) for each in records] for name in ("longitude", "latitude"))
    shown = left.scatter(east, north, c=value, s=4, cmap="viridis", vmin=0.5, vmax=5)
    figure.colorbar(shown, ax=left, label="predicted value, 100,000 dollars")
    left.set(xlabel="longitude", ylabel="latitude", title="Predicted values (test blocks)")
    left.set_aspect(1.25)
    right.hexbin(y_true, value, gridsize=36, bins="log", cmap="GnBu", mincnt=1)
    right.plot([0, 5], [0, 5], color=plots.INK, linestyle=":")
    right.set(xlabel="true value, 100,000 dollars", ylabel="predicted value")
    right.set_title("Predicted and true (test blocks)")
    return figure


def residuals(evaluation: Evaluation) -> Figure:
    """Draw the errors of the network and of linear regression, by size and by income."""
    y_true = np.array(evaluation.test.labels) / UNIT
    value, _, _, linear = columns(evaluation.predictions)
    figure, (left, right) = plots.panels(2)
    bins = np.linspace(-2.5, 2.5, 51).tolist()
    for name, y_pred, colour in (
        ("linear regression", linear, plots.PALE),
        ("network", value, plots.ACCENT),
    ):
        left.hist(np.clip(y_pred - y_true, -2.5, 2.5), bins, color=colour, alpha=0.7, label=name)
    left.set(xlabel="predicted minus true, 100,000 dollars", ylabel="test blocks")
    left.set_title("Errors (the outer bars hold all larger ones)")
    left.legend()
    income = np.array([each.income for each in evaluation.test.records])
    edges = np.quantile(income, np.linspace(0, 1, 11))
    tenth = np.clip(np.searchsorted(edges, income, side="right"), 1, 10)
    for name, y_pred, colour in (
        ("linear regression", linear, plots.PALE),
        ("network", value, plots.ACCENT),
    ):
        means = [float(np.mean((y_pred - y_true)[tenth == each])) for each in range(1, 11)]
        right.plot(range(1, 11), means, "o-", color=colour, label=name)
    right.axhline(0, color=plots.INK, linewidth=0.8)
    right.set(xlabel="tenth of the blocks by income", ylabel="mean error, 100,000 dollars")
    right.set_title("Mean error by income")
    right.legend()
    return figure


def intervals(evaluation: Evaluation) -> Figure:
    """Draw intervals of single blocks, and what share of values they hold by predicted value."""
    y_true = np.array(evaluation.test.labels) / UNIT
    value, low, high, _ = columns(evaluation.predictions)
    figure, (left, right) = plots.panels(2)
    # Every so many blocks in the order of their prediction.
    order = np.argsort(value, kind="stable")[:: max(1, len(value) // 60)]
    places = np.arange(len(order))
    left.vlines(places, low[order], high[order], color=plots.PALE, linewidth=3)
    left.plot(places, value[order], ".", color=plots.ACCENT, label="predicted")
    inside = (low <= y_true) & (y_true <= high)
    left.plot(places, y_true[order], "x", color=plots.INK, markersize=4, label="true")
    left.set(xlabel="test blocks by predicted value", ylabel="100,000 dollars", xticks=[])
    left.set_title("Intervals")
    left.legend(loc="upper left")
    edges = np.quantile(value, [0.2, 0.4, 0.6, 0.8])
    fifth = np.digitize(value, edges)
    shares = [100 * float(np.mean(inside[fifth == each])) for each in range(5)]
    names = ["lowest", "second", "third", "fourth", "highest"]
    plots.bars(right, names, shares, "Values within the interval", fmt="{:.0f} %", size=9)
    right.axhline(90, color=plots.INK, linestyle=":")
    right.set(ylim=(60, 104), ylabel="%", xlabel="fifth of the blocks by predicted value")
    return figure
