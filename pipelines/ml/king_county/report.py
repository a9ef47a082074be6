"""Score valuations; draw their errors and coverage on the map, by month and by price."""

import json
from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.uncertainty import metric_with_interval

from .data import splits
from .metrics import INTERVAL, valuation_metrics
from .model import TYPICAL, Valuation

# Sales in a cell of the map; cells with fewer are left empty.
FEWEST = 5


def score(*, predictions: list[Valuation], labels: list[float]) -> dict[str, float]:
    """Return the metrics of the valuations; the baseline is the mean logarithm of past prices."""
    price, low, high = dollars(predictions)
    y_true = np.array(labels)
    train, _ = train_and_test_rows(__file__, splits, fetch("king_county_houses"), labels)
    squares = np.log(price / y_true) ** 2
    constant = float(np.log(train.labels).mean())
    metrics = valuation_metrics(np.log(price / TYPICAL), np.log(y_true / TYPICAL))

    def error(rows: np.ndarray) -> float:
        return float(np.sqrt(squares[rows].mean()))

    return {
        # Sales of different houses: the interval resamples rows.
        **metric_with_interval("rmse_log", error, len(squares)),
        "baseline_rmse_log": float(np.sqrt(np.mean((constant - np.log(y_true)) ** 2))),
        **{name: value for name, value in metrics.items() if name != "rmse_log"},
        "coverage": float(np.mean((low <= y_true) & (y_true <= high))),
        "width": float(np.median((high - low) / price)),
    }


def dollars(predictions: list[Valuation]) -> np.ndarray:
    """Return price, low and high (3, rows)."""
    return np.array([(each.price, each.low, each.high) for each in predictions]).T


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    houses, y_true = evaluation.test.records, np.array(evaluation.test.labels)
    price, *_ = dollars(evaluation.predictions)
    figure, (left, right) = plots.panels(2, height=4.2)
    shown = left.hexbin(
        [each.longitude for each in houses],
        [each.latitude for each in houses],
        C=np.log2(price / y_true),
        # In cells of few sales, single ones would be drawn as if the place were valued wrongly.
        reduce_C_function=np.median,
        mincnt=FEWEST,
        gridsize=32,
        cmap="RdBu",
        vmin=-0.5,
        vmax=0.5,
        extent=(-122.53, -121.7, 47.15, 47.78),
    )
    bar = figure.colorbar(shown, ax=left, shrink=0.8, ticks=[-0.415, -0.152, 0, 0.138, 0.379])
    bar.ax.set_yticklabels(["-25 %", "-10 %", "0", "+10 %", "+30 %"])
    left.set(xlabel="longitude", ylabel="latitude", xlim=(-122.55, -121.7))
    left.set_xticks([-122.5, -122.3, -122.1, -121.9, -121.7])
    left.set_title(f"Median error of {FEWEST} or more test sales")
    right.hexbin(
        y_true, price, gridsize=32, xscale="log", yscale="log", bins="log", cmap="GnBu", mincnt=1
    )
    right.plot([1e5, 4e6], [1e5, 4e6], color=plots.INK, linestyle=":")
    right.set(xlabel="price, dollars", ylabel="prediction, dollars", title="Prices (test sales)")
    yield "errors", figure
    yield "coverage", coverage(evaluation)
    figure, (left, right) = plots.panels(2)
    studies = [each for each in evaluation.candidates if "rmse_log" in each.curves]
    for each, colour in zip(studies, (plots.ACCENT, plots.INK, "#d1793b"), strict=True):
        values = each.curves["rmse_log"]
        count = np.arange(len(values)) + 1
        left.plot(count, np.minimum.accumulate(values), color=colour, label=each.name)
        left.scatter(count, values, s=9, color=colour)
    left.set(xlabel="trial", ylabel="rmse_log on later sales", title="Studies")
    left.margins(y=0.25)
    left.legend()
    found = {each.name: each.metrics["median_relative_error"] for each in evaluation.candidates}
    models = ("house_alone", "house_and_zip", "house_and_place", "lightgbm")
    known = ["house", "house and\nzip code", "house and\ncoordinates", "everything"]
    errors = [100 * found[name] for name in models]
    title = "What geography buys (validation, LightGBM)"
    plots.bars(right, known, errors, title, fmt="{:.1f}", size=9, chosen="everything")
    right.set(ylabel="median error, %")
    yield "study_and_geography", figure


def coverage(evaluation: Evaluation) -> Figure:
    """Draw coverage by month and by price, with the served intervals and before widening."""
    y_true, (price, low, high) = np.array(evaluation.test.labels), dollars(evaluation.predictions)
    wider = json.loads((evaluation.weights / INTERVAL).read_text())["widening"]
    kinds = {
        "as served": (low <= y_true) & (y_true <= high),
        "before widening": (low * np.exp(wider) <= y_true) & (y_true <= high * np.exp(-wider)),
    }
    fifths = np.digitize(price, np.quantile(price, [0.2, 0.4, 0.6, 0.8])) + 1
    groups = {
        "month": np.array([each.sold_on[:7] for each in evaluation.test.records]),
        "fifth of the answered price": fifths,
    }
    figure, axes = plots.panels(2)
    for panel, (title, group) in zip(axes, groups.items(), strict=True):
        names = np.unique(group).tolist()
        shares = {
            kind: [100 * within[group == name].mean() for name in names]
            for kind, within in kinds.items()
        }
        plots.bars(panel, names, shares, f"Coverage by {title}", fmt="{:.0f}")
        panel.axhline(90, color=plots.INK, linestyle=":")
        panel.set(ylim=(60, 104), ylabel="within the interval, %")
    return figure
