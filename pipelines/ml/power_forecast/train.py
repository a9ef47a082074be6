"""Naive rules, Fourier seasons, ARIMA, and lags into ridge and boosting, from rolling origins.

Each fold's forecasts come from a model that was fitted on hours before the fold only, as it will be
used. The intervals are learnt from such forecasts, since a model errs less on hours that it was
fitted on.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import MO, WeekdayLocator
from matplotlib.figure import Figure
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.conformal import limit
from slipway.training.tabular import export_onnx

from .model import (
    AHEAD,
    BACK,
    DAYS,
    HOUR,
    INTERVALS,
    NUMBERS,
    Forecast,
    History,
    features,
    forecasts,
    hours_asked,
    logged,
)

MISSED = 0.1  # on either side of an interval
SERVED = ("ridge_lags", "boosted_lags")
EPOCH = datetime(2006, 12, 1)


@dataclass(frozen=True)
class Windows:
    """Histories with what followed, in order of time; powers as logarithms."""

    records: list[History]
    past: np.ndarray
    """(rows, 168)"""
    future: np.ndarray
    """(rows, 24)"""

    @classmethod
    def of(cls, records: list[History], truths: list[list[float]]) -> "Windows":
        past = np.array([each.kilowatts for each in records])
        return cls(records, logged(past), logged(np.array([list(each) for each in truths])))

    @property
    def at(self) -> np.ndarray:
        """The first hour forecast (rows,), in hours since `EPOCH`."""
        times = [datetime.strptime(each.first_hour, HOUR) for each in self.records]
        return np.array([int((time - EPOCH).total_seconds()) // 3600 for time in times])

    def where(self, kept: np.ndarray) -> "Windows":
        records = [each for each, keep in zip(self.records, kept, strict=True) if keep]
        return Windows(records, self.past[kept], self.future[kept])

    def series(self) -> tuple[np.ndarray, np.ndarray]:
        """The hours that the windows cover, in order, and their logarithms; both (hours,)."""
        at = self.at
        found = np.full(int(at.max()) + AHEAD, np.nan)
        for row, place in enumerate(at):
            found[place - BACK : place] = self.past[row]
            found[place : place + AHEAD] = self.future[row]
        hours = np.arange(len(found))[at.min() - BACK :]
        return hours, found[hours]


@dataclass(frozen=True)
class Taught:
    """What answers windows with logarithms (rows, 24), and what was found while it was fitted."""

    answer: Callable[[Windows], np.ndarray]
    found: dict[str, object] = field(default_factory=dict)


Teach = Callable[[Windows], Taught]


def baseline(_: Windows) -> Taught:
    """The same hour a week before."""
    return Taught(lambda asked: asked.past[:, :AHEAD])


def yesterday(_: Windows) -> Taught:
    return Taught(lambda asked: asked.past[:, -AHEAD:])


def mean_of_days(_: Windows) -> Taught:
    """The geometric mean of the same hour over the last seven days: they are logarithms."""
    return Taught(lambda asked: asked.past.reshape(-1, DAYS, AHEAD).mean(axis=1))


def seasons(hours: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Prophet's regressors (Taylor and Letham 2018): a trend that bends at `knots`, and Fourier
    terms of day, week and year; those of the day stand twice, for working days and weekends."""
    weekend = ((hours // 24 + EPOCH.weekday()) % 7 >= 5).astype(float)
    columns = [hours / 8766.0, weekend, *(np.maximum(hours - knot, 0) / 8766.0 for knot in knots)]
    for period, orders in ((24.0, 10), (168.0, 3), (8766.0, 4)):
        for order in range(1, orders + 1):
            for wave in (np.sin, np.cos):
                term = wave(2 * np.pi * order * hours / period)
                columns += [term, term * weekend] if period == 24.0 else [term]
    return np.stack(columns, axis=-1)


def season_model(train: Windows) -> Callable[[np.ndarray], np.ndarray]:
    """Ridge on `seasons`: hours of any shape to logarithms."""
    hours, logs = train.series()
    known = np.isfinite(logs)
    # As Prophet has it: bends in the first four fifths only.
    knots = np.linspace(hours[0], hours[0] + 0.8 * (hours[-1] - hours[0]), 12)[1:]
    ridge = Ridge(alpha=20.0).fit(seasons(hours[known], knots), logs[known])

    def told(asked: np.ndarray) -> np.ndarray:
        flat = ridge.predict(seasons(asked.ravel().astype(float), knots))
        return np.asarray(flat.reshape(asked.shape))

    return told


def prophet_style(train: Windows) -> Taught:
    told = season_model(train)
    return Taught(lambda asked: told(asked.at[:, None] + np.arange(AHEAD)))


def arima_order(rest: np.ndarray) -> tuple[int, int, int]:
    """p, d and q for a series (hours,): d is how often it must be differenced until the
    Dickey-Fuller test refuses a unit root at 5 %, p and q are those of the least AIC."""
    from statsmodels.tsa.arima.model import ARIMA  # type: ignore[import-untyped]
    from statsmodels.tsa.stattools import adfuller  # type: ignore[import-untyped]

    known, d = rest[np.isfinite(rest)], 0
    while d < 2 and adfuller(np.diff(known, d), maxlag=48, result_object=False)[1] > 0.05:
        d += 1
    orders = [(p, d, q) for p in range(4) for q in range(3) if p + q]
    return min(orders, key=lambda order: float(ARIMA(rest, order=order, trend="n").fit().aic))


def arima(train: Windows, *, hours_used: int = 24 * 90) -> Taught:
    """ARIMA on what the seasons leave of the last hours, p, d and q found; the seasons again added.

    A window's forecast is that of the equivalent autoregression over its 168 hours.
    """
    from statsmodels.tsa.arima.model import ARIMA  # type: ignore[import-untyped]
    from statsmodels.tsa.arima_process import ArmaProcess  # type: ignore[import-untyped]

    told = season_model(train)
    hours, logs = train.series()
    rest = (logs - told(hours))[-hours_used:]
    with warnings.catch_warnings():
        # Orders that do not fit warn, and lose by their AIC.
        warnings.simplefilter("ignore")
        order = arima_order(rest)
        found = ARIMA(rest, order=order, trend="n").fit()
    unit = np.array([1.0])
    for _ in range(order[1]):
        unit = np.polymul(unit, [1.0, -1.0])
    process = ArmaProcess(np.polymul(found.polynomial_ar, unit), found.polynomial_ma)
    weights = -process.arma2ar(BACK + 1)[1:][::-1]

    def answer(asked: Windows) -> np.ndarray:
        line = asked.past - told(asked.at[:, None] + np.arange(-BACK, 0))
        for _ in range(AHEAD):
            line = np.concatenate([line, (line[:, -BACK:] @ weights)[:, None]], axis=1)
        return np.asarray(line[:, BACK:] + told(asked.at[:, None] + np.arange(AHEAD)))

    return Taught(answer, {"order": list(order)})


def lags(name: str, seed: int, trees: int) -> Teach:
    def taught(train: Windows) -> Taught:
        model = regressor(name, seed, trees)
        model.fit(features(train.records)["numbers"], train.future.ravel())

        def answer(asked: Windows) -> np.ndarray:
            told = model.predict(features(asked.records)["numbers"])
            return np.asarray(told.reshape(-1, AHEAD))

        return Taught(answer)

    return taught


def regressor(name: str, seed: int, trees: int) -> HistGradientBoostingRegressor:
    if name == "ridge_lags":
        return make_pipeline(StandardScaler(), Ridge(alpha=100.0))
    return HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=trees,
        learning_rate=0.06,
        max_leaf_nodes=24,
        min_samples_leaf=100,
        early_stopping=False,
        random_state=seed,
    )


def teachers(seed: int, trees: int) -> dict[str, Teach]:
    return {
        "baseline": baseline,
        "yesterday": yesterday,
        "mean_of_days": mean_of_days,
        "prophet_style": prophet_style,
        "arima": arima,
        **{name: lags(name, seed, trees) for name in SERVED},
    }


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
