"""Naive rules, Fourier seasons, ARIMA, and lags into ridge and boosting, from rolling origins.

Each fold's forecasts come from a model that was fitted on hours before the fold only, as it will be
used. The intervals are learnt from such forecasts, since a model errs less on hours that it was
fitted on.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import MO, WeekdayLocator
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.conformal import limit
from slipway.training.tabular import export_onnx

from .forecasters import SERVED, Taught, Teach, regressor, teachers
from .model import (
    AHEAD,
    BACK,
    INTERVALS,
    NUMBERS,
    Forecast,
    History,
    features,
    forecasts,
    hours_asked,
)
from .windows import EPOCH, Windows

MISSED = 0.1  # on either side of an interval


def folds(at: np.ndarray, count: int, days: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The last `count` spans of so many days, the oldest first: the windows (rows,) to learn from,
    all whose hours are over when the span begins, and those to answer."""
    end = int(at.max()) + 1
    borders = [end - 24 * days * back for back in range(count, -1, -1)]
    return [(at + AHEAD <= begin, (at >= begin) & (at < stop)) for begin, stop in pairwise(borders)]


def bounds(hour: np.ndarray, errors: np.ndarray) -> dict[str, list[float]]:
    """How far below and above a forecast its interval ends, by the hour of the day (24).

    `hour` and `errors` (true less told, in logarithms) are (rows, 24). The limits are exact where
    rows are exchangeable; neighbouring hours are not quite.
    """
    by_hour = [errors[hour == each] for each in range(24)]
    return {
        "low": [-limit(-each, MISSED) for each in by_hour],
        "high": [limit(each, MISSED) for each in by_hour],
    }


def fit(
    *,
    train: Examples[History, list[float]],
    weights: Path,
    seed: int,
    count: int,
    days: int,
    trees: int,
) -> Fitted:
    """The smallest mean absolute error from rolling origins, among what is served as a graph."""
    known = Windows.of(train.records, train.truths)
    spans = folds(known.at, count, days)
    tried, errors = [], {}
    # Boosting's threads wait for each other by spinning: on two busy cores 30 times slower.
    with threadpool_limits(limits=1):
        for name, teach in teachers(seed, trees).items():
            errors[name], found = rolled(teach, known, spans)
            tried.append(replace(found, name=name))
        served = [each for each in tried if each.name in SERVED]
        chosen = min(served, key=lambda each: each.metrics["mae"]).name
        best = regressor(chosen, seed, trees)
        best.fit(features(known.records)["numbers"], known.future.ravel())
    answered = known.where(np.any([asked for _, asked in spans], axis=0))
    told = bounds(hours_asked(answered.records)[:, :, 0], errors[chosen])
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / INTERVALS).write_text(json.dumps(told, indent=1) + "\n")

    def native(histories: list[History]) -> list[Forecast]:
        logs = best.predict(features(histories)["numbers"]).reshape(-1, AHEAD)
        return forecasts(histories, logs, told)

    return Fitted(tried, chosen, native)


def rolled(
    teach: Teach, known: Windows, spans: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, Candidate]:
    """The errors (rows, 24) of all spans in logarithms, and what to tell of the candidate.

    The intervals that are measured in the last span are those learnt in the spans before.
    """
    errors, misses, hours, taught = [], [], [], Taught(lambda asked: asked.future)
    for learnt, asked in spans:
        taught, held = teach(known.where(learnt)), known.where(asked)
        told = taught.answer(held)
        errors.append(held.future - told)
        misses.append(np.abs(np.exp(held.future) - np.exp(told)))
        hours.append(hours_asked(held.records)[:, :, 0])
    limits = bounds(np.concatenate(hours[:-1]), np.concatenate(errors[:-1]))
    low, high = (np.array(limits[side])[hours[-1]] for side in ("low", "high"))
    metrics = {
        "mae": float(np.mean([each.mean() for each in misses])),
        "coverage": float(((errors[-1] >= low) & (errors[-1] <= high)).mean()),
        "width": float((np.exp(told + high) - np.exp(told + low)).mean()),
        "mae_std": float(np.std([each.mean() for each in misses])),
    }
    by_hour = np.concatenate(misses).mean(axis=0).tolist()
    return np.concatenate(errors), Candidate("", metrics, taught.found, {"mae by hour": by_hour})


def answered(
    answers: list[Forecast], truths: list[list[float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What happened and was told, and the ends of the interval, in kilowatts: each (rows, 24)."""
    told = np.array([[each.kilowatts, each.low, each.high] for each in answers])
    return np.array([list(each) for each in truths]), told[:, 0], told[:, 1], told[:, 2]


def score(*, answers: list[Forecast], truths: list[list[float]]) -> dict[str, float]:
    """Kilowatts, and the share of hours that fell into their interval."""
    true, told, low, high = answered(answers, truths)
    error = told - true
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "mae_next_hour": float(np.abs(error[:, 0]).mean()),
        "mae_last_hour": float(np.abs(error[:, -1]).mean()),
        "coverage": float(((true >= low) & (true <= high)).mean()),
        "missed_above": float((true > high).mean()),
        "width": float((high - low).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "decomposition", decomposition(evaluation)
    yield "horizon", horizon(evaluation)
    yield "forecasts", examples(evaluation)


def decomposition(evaluation: Evaluation, weeks: int = 26) -> Figure:
    """The last training weeks into trend, day, week and rest (MSTL: Bandara and others 2021)."""
    from statsmodels.tsa.seasonal import MSTL  # type: ignore[import-untyped]

    hours, logs = Windows.of(evaluation.train.records, evaluation.train.truths).series()
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
    """Errors of all by hours ahead, of the served one on test rows, and coverage by hour of day."""
    true, told, low, high = answered(evaluation.answers, evaluation.test.truths)
    past = np.array([each.kilowatts for each in evaluation.test.records])
    figure, (first, left, right) = plots.panels(3)
    ahead = np.arange(1, AHEAD + 1)
    for each in evaluation.candidates:
        order = ", ".join(map(str, each.parameters.get("order", [])))
        label = f"{each.name} ({order})" if order else each.name
        first.plot(ahead, each.curves["mae by hour"], label=label)
    first.set_title("Mean absolute error, kilowatts (validation)")
    for label, answer, colour in (
        ("same hour a week before", past[:, :AHEAD], plots.INK),
        ("same hour yesterday", past[:, -AHEAD:], plots.PALE),
        ("served", told, plots.ACCENT),
    ):
        left.plot(ahead, np.abs(answer - true).mean(axis=0), color=colour, label=label)
    left.set_title("Mean absolute error, kilowatts (test rows)")
    for panel, columns in ((first, 2), (left, 1)):
        panel.set(xlabel="hours ahead", ylim=(0, None))
        panel.legend(loc="lower right", ncols=columns)
    hour = hours_asked(evaluation.test.records)[:, :, 0]
    inside = (true >= low) & (true <= high)
    # A few test rows do not meet every hour of the day.
    shares = [
        float(inside[hour == each].mean()) if (hour == each).any() else 0 for each in range(24)
    ]
    right.bar(range(24), shares, color=plots.ACCENT)
    right.axhline(1 - 2 * MISSED, color=plots.INK, linestyle=":")
    right.set(xlabel="hour of the day (dotted: what was promised)", ylim=(0, 1))
    right.set_title("Share inside the interval (test rows)")
    return figure


def examples(evaluation: Evaluation) -> Figure:
    """Three test windows far apart: the day before, and the forecast with its interval."""
    figure, axes = plots.panels(3, height=2.8)
    places = np.linspace(0, len(evaluation.test) - 1, 5).astype(int)[1:4]
    ahead = np.arange(AHEAD)
    for panel, place in zip(axes, places, strict=True):
        record, told = evaluation.test.records[place], evaluation.answers[place]
        true = list(evaluation.test.truths[place])
        panel.plot(range(-24, 1), [*record.kilowatts[-24:], true[0]], color=plots.INK, lw=1)
        panel.plot(ahead, true, color=plots.INK, lw=1, label="happened")
        panel.plot(ahead, told.kilowatts, color=plots.ACCENT, label="forecast")
        panel.fill_between(ahead, told.low, told.high, color=plots.ACCENT, alpha=0.2, lw=0)
        panel.set(title=f"From {record.first_hour.replace('T', ' ')}", xlabel="hours ahead")
        panel.margins(y=0.2)
        panel.legend(loc="upper left", ncols=2)
    axes[0].set_ylabel("kilowatts")
    return figure
