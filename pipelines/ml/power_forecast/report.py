"""Score forecasts and their intervals; draw the decomposition, errors by hour, and examples."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import MO, WeekdayLocator
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.uncertainty import metric_with_interval, neighbouring, over_groups

from .data import splits
from .model import AHEAD, BACK, MISSED, Forecast, forecast_calendar
from .windows import EPOCH, Windows

# Windows begin five hours apart, so this many of them begin in a week.
WEEK = 34


def as_arrays(
    predictions: list[Forecast], labels: list[list[float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return true and forecast power, low and high, in kilowatts: each (rows, 24)."""
    y_pred = np.array([[each.kilowatts, each.low, each.high] for each in predictions])
    return np.array([list(each) for each in labels]), y_pred[:, 0], y_pred[:, 1], y_pred[:, 2]


def score(*, predictions: list[Forecast], labels: list[list[float]]) -> dict[str, float]:
    """Return errors in kilowatts, and the share of hours inside their interval.

    The baseline forecasts each hour as the same hour a week before.
    """
    y_true, y_pred, low, high = as_arrays(predictions, labels)
    error = y_pred - y_true
    _, test = train_and_test_rows(__file__, splits, fetch("household_power_1min"), labels)
    week_before = np.array([each.kilowatts[:AHEAD] for each in test.records])
    # Windows overlap and days resemble each other, so weeks are resampled.
    weeks = neighbouring(len(error), WEEK)
    by_week = over_groups(lambda rows: float(np.abs(error[rows]).mean()), weeks)
    return {
        **metric_with_interval("mae", by_week, len(weeks)),
        "baseline_mae": float(np.abs(week_before - y_true).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "mae_next_hour": float(np.abs(error[:, 0]).mean()),
        "mae_last_hour": float(np.abs(error[:, -1]).mean()),
        "coverage": float(((y_true >= low) & (y_true <= high)).mean()),
        "missed_above": float((y_true > high).mean()),
        "width": float((high - low).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "decomposition", decomposition(evaluation)
    yield "horizon", horizon(evaluation)
    yield "forecasts", examples(evaluation)


def decomposition(evaluation: Evaluation, weeks: int = 26) -> Figure:
    """Draw trend, seasons and remainder of the last training weeks (MSTL: Bandara et al. 2021)."""
    from statsmodels.tsa.seasonal import MSTL  # type: ignore[import-untyped]

    hours, logs = Windows.from_labelled(evaluation.train.records, evaluation.train.labels).series()
    line = pd.Series(np.exp(logs), pd.Timestamp(EPOCH) + pd.to_timedelta(hours, "h"))
    line = line.interpolate()[-BACK * weeks :]
    parts = MSTL(line, periods=(24, 168)).fit()
    shown = slice(-BACK * 2, None)
    figure, panels = plt.subplots(5, 1, sharex=True, figsize=(7, 5))
    lines = {
        "Power, in kilowatts": line,
        "Trend": parts.trend,
        "Season of the day": parts.seasonal["seasonal_24"],
        "Season of the week": parts.seasonal["seasonal_168"],
        "Rest": parts.resid,
    }
    for panel, (title, values) in zip(panels, lines.items(), strict=True):
        share = f" ({values.var() / line.var():.0%} of the variance)" if values is not line else ""
        panel.plot(values[shown], color=plots.ACCENT, linewidth=0.8)
        panel.set_title(title + share, fontsize=9)
    panels[-1].xaxis.set_major_locator(WeekdayLocator(MO))
    return figure


def horizon(evaluation: Evaluation) -> Figure:
    """Draw errors by hours ahead, on validation and test rows, and coverage by hour of day."""
    y_true, y_pred, low, high = as_arrays(evaluation.predictions, evaluation.test.labels)
    past = np.array([each.kilowatts for each in evaluation.test.records])
    figure, (first, left, right) = plots.panels(3)
    ahead = np.arange(1, AHEAD + 1)
    for each in evaluation.candidates:
        order = ", ".join(map(str, each.parameters.get("order", [])))
        label = f"{each.name} ({order})" if order else each.name
        first.plot(ahead, each.curves["mae by hour"], label=label)
    first.set_title("Mean absolute error, kilowatts (validation)")
    for label, forecast, colour in (
        ("same hour a week before", past[:, :AHEAD], plots.INK),
        ("same hour yesterday", past[:, -AHEAD:], plots.PALE),
        ("served", y_pred, plots.ACCENT),
    ):
        left.plot(ahead, np.abs(forecast - y_true).mean(axis=0), color=colour, label=label)
    left.set_title("Mean absolute error, kilowatts (test rows)")
    for panel, columns in ((first, 2), (left, 1)):
        panel.set(xlabel="hours ahead", ylim=(0, None))
        panel.legend(loc="lower right", ncols=columns)
    hour = forecast_calendar(evaluation.test.records)[:, :, 0]
    inside = (y_true >= low) & (y_true <= high)
    # With few test rows, some hours of the day do not occur.
    shares = [
        float(inside[hour == each].mean()) if (hour == each).any() else 0 for each in range(24)
    ]
    right.bar(range(24), shares, color=plots.ACCENT)
    right.axhline(1 - 2 * MISSED, color=plots.INK, linestyle=":")
    right.set(xlabel="hour of the day (dotted: what was promised)", ylim=(0, 1))
    right.set_title("Share inside the interval (test rows)")
    return figure


def examples(evaluation: Evaluation) -> Figure:
    """Draw three test windows: the day before, and the forecast with its interval."""
    figure, axes = plots.panels(3, height=2.8)
    places = np.linspace(0, len(evaluation.test) - 1, 5).astype(int)[1:4]
    ahead = np.arange(AHEAD)
    for panel, place in zip(axes, places, strict=True):
        record, forecast = evaluation.test.records[place], evaluation.predictions[place]
        y_true = list(evaluation.test.labels[place])
        panel.plot(range(-24, 1), [*record.kilowatts[-24:], y_true[0]], color=plots.INK, lw=1)
        panel.plot(ahead, y_true, color=plots.INK, lw=1, label="observed")
        panel.plot(ahead, forecast.kilowatts, color=plots.ACCENT, label="forecast")
        panel.fill_between(ahead, forecast.low, forecast.high, color=plots.ACCENT, alpha=0.2, lw=0)
        panel.set(title=f"From {record.first_hour.replace('T', ' ')}", xlabel="hours ahead")
        panel.margins(y=0.2)
        panel.legend(loc="upper left", ncols=2)
    axes[0].set_ylabel("kilowatts")
    return figure
