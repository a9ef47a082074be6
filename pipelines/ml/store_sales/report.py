"""Score sales forecasts and their intervals; draw the decomposition, weeks, coverage and stores."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from statsmodels.tsa.seasonal import STL  # type: ignore[import-untyped]

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.uncertainty import metric_with_interval, over_groups

from .data import splits
from .days import Days
from .metrics import MISSED, forecast_errors, weekly
from .model import SPREAD, WEEKS, Forecast


def open_days(predictions: list[Forecast], labels: list[list[int]]) -> np.ndarray:
    """Return sold, forecast, low and high of every open day: (4, days)."""
    rows = [
        day
        for each, sales in zip(predictions, labels, strict=True)
        for day in zip(sales, each.sales, each.low, each.high, strict=False)
        if day[0] > 0
    ]
    return np.array(rows, dtype=np.float64).T


def score(*, predictions: list[Forecast], labels: list[list[int]]) -> dict[str, float]:
    """Return metrics of open days; `width` is relative to the forecast.

    The baseline is the recent mean of similar days.
    """
    sold, forecast, low, high = open_days(predictions, labels)
    y_true, y_pred = np.log(sold), np.log(forecast)
    _, test = train_and_test_rows(__file__, splits, fetch("rossmann_store_sales"), labels)
    alike = Days.from_plans(test.records, test.labels).alike
    opened = [sum(each > 0 for each in sales) for sales in labels]
    # Days of a store resemble each other, so stores are resampled. All stores share the same 48
    # days, whose own luck this interval does not contain.
    stores = np.split(np.arange(len(sold)), np.cumsum(opened)[:-1])
    by_store = over_groups(
        lambda rows: forecast_errors(y_true[rows], y_pred[rows])["rmspe"], stores
    )
    return {
        **metric_with_interval("rmspe", by_store, len(stores)),
        "baseline_rmspe": forecast_errors(y_true, alike)["rmspe"],
        "mae": forecast_errors(y_true, y_pred)["mae"],
        "bias": float(np.mean(forecast / sold - 1)),
        "coverage": float(((sold >= low) & (sold <= high)).mean()),
        "missed_below": float((sold < low).mean()),
        "missed_above": float((sold > high).mean()),
        "width": float(((high - low) / forecast).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "decomposition", decomposition(evaluation)
    figure, axes = plots.panels(2)
    by_week(axes, evaluation)
    yield "weeks", figure
    figure, axes = plots.panels(2)
    coverage(axes, evaluation)
    yield "intervals", figure
    figure, axes = plots.panels(3, height=2.8)
    for panel, place in zip(
        axes, np.linspace(0, len(evaluation.test) - 1, 5).astype(int)[1:4], strict=True
    ):
        one_store(panel, evaluation, int(place))
    yield "forecasts", figure


def decomposition(evaluation: Evaluation) -> Figure:
    """Draw trend, two-week season and remainder of the sales per open store, Monday to Saturday.

    STL: Cleveland et al. (1990). Promotions come every other week. Less than two years are too few
    to separate a yearly season from the trend.
    """
    days = Days.from_plans(evaluation.train.records, evaluation.train.labels)
    sold = pd.Series(np.exp(days.logs), [pd.Timestamp.fromordinal(each) for each in days.date])
    daily = sold.groupby(level=0).mean().asfreq("D")
    daily = daily[pd.DatetimeIndex(daily.index).dayofweek < 6].interpolate()
    parts = STL(daily.to_numpy(), period=12, robust=True).fit()
    shown = {"sold": daily, "trend": parts.trend, "season": parts.seasonal, "rest": parts.resid}
    figure, axes = plt.subplots(len(shown), 1, sharex=True, figsize=(7, 5))
    for panel, (name, values) in zip(axes, shown.items(), strict=True):
        panel.plot(daily.index, values, linewidth=0.8, color=plots.ACCENT)
        panel.set_ylabel(name)
    axes[0].set_title("Sales a day and open store, Monday to Saturday")
    return figure


def by_week(axes: list[Axes], evaluation: Evaluation) -> None:
    """Draw RMSPE by week: candidates on the last fold, served model and baseline on test days."""
    left, right = axes
    colours = {}
    for each in evaluation.candidates:
        if "rmspe by week" in each.curves:
            (line,) = left.plot(range(1, WEEKS + 1), each.curves["rmspe by week"], label=each.name)
            colours[each.name] = line.get_color()
    left.set_title("RMSPE of the last fold (validation)")
    days = Days.from_plans(evaluation.test.records, evaluation.test.labels)
    served = np.log(open_days(evaluation.predictions, evaluation.test.labels)[1])
    for name, y_pred in (("baseline", days.alike), (evaluation.chosen, served)):
        whole = forecast_errors(days.logs, y_pred)["rmspe"]
        label = f"{name}: {whole:.4f} in all"
        right.plot(range(1, WEEKS + 1), weekly(days, y_pred), label=label, color=colours[name])
    right.set_title("RMSPE of the test days")
    for panel in axes:
        panel.set(xlabel="week ahead", ylim=(0, None))
        panel.legend(loc="lower right")


def coverage(axes: list[Axes], evaluation: Evaluation) -> None:
    """Draw coverage of test days by week ahead, and by quarter of their store's volatility."""
    days = Days.from_plans(evaluation.test.records, evaluation.test.labels)
    sold, _, low, high = open_days(evaluation.predictions, evaluation.test.labels)
    inside = (sold >= low) & (sold <= high)
    spread = days.numbers[:, SPREAD]
    quarter = np.searchsorted(np.quantile(spread, [0.25, 0.5, 0.75]), spread)
    groups = {"week ahead": days.week, "quarter of the days by the store's restlessness": quarter}
    for panel, (label, group) in zip(axes, groups.items(), strict=True):
        shown = np.unique(group)
        panel.bar(shown + 1, [inside[group == each].mean() for each in shown], color=plots.ACCENT)
        panel.axhline(1 - 2 * MISSED, color=plots.INK, linestyle=":")
        panel.set(xlabel=label, xticks=shown + 1, ylabel="dotted: as meant", ylim=(0, 1))
        panel.set_title("Share inside the interval (test days)")


def one_store(axes: Axes, evaluation: Evaluation, place: int) -> None:
    plan, prediction = evaluation.test.records[place], evaluation.predictions[place]
    sold = np.array(list(evaluation.test.labels[place]), dtype=float)
    opened = sold > 0
    day = np.arange(len(sold))[opened]
    low, high, forecast = (
        np.array(each)[opened] for each in (prediction.low, prediction.high, prediction.sales)
    )
    axes.vlines(day, low, high, color=plots.ACCENT, alpha=0.3, linewidth=3)
    axes.plot(day, forecast, ".", color=plots.ACCENT, label="forecast")
    axes.plot(day, sold[opened], "x", color=plots.INK, markersize=4, label="sold")
    title = f"Store {plan.store}, from {plan.first_day}"
    axes.set(xlabel="days ahead", ylim=(0, None), title=title)
    axes.legend(loc="lower left", ncols=2)
