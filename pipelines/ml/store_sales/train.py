"""Days alike, seasons in Prophet's style, ARIMA, and boosting over all stores; rolling origins.

A fold's forecasts come from what was sold before its origin alone. The intervals are learnt from
such forecasts, since a model errs less on days that it was fitted on.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from lightgbm import Booster, LGBMRegressor
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from statsmodels.tsa.seasonal import STL  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.conformal import limit
from slipway.training.tabular import export_boosting, export_onnx

from .days import Days, joined
from .forecasters import Told, arima, baseline, boosted, prophet_style, regressors
from .model import INTERVALS, NUMBERS, SPREAD, WEEKS, Forecast, Plan, features, forecasts

MISSED = 0.1  # on either side of an interval


def figures(logs: np.ndarray, told: np.ndarray) -> dict[str, float]:
    """RMSPE, by which the competition judged, and the mean error in turnover."""
    sold, answered = np.exp(logs), np.exp(told)
    return {
        "rmspe": float(np.sqrt(np.mean((answered / sold - 1) ** 2))),
        "mae": float(np.abs(answered - sold).mean()),
    }


def bounds(days: Days, told: np.ndarray) -> dict[str, list[float]]:
    """How many spreads of its store below and above a forecast its interval ends, by week ahead.

    Split conformal prediction with normalized errors (Papadopoulos and others 2002).
    """
    errors = (days.logs - told) / days.numbers[:, SPREAD]
    by_week = [errors[days.week == week] for week in range(WEEKS)]
    return {
        "low": [-limit(-each, MISSED) for each in by_week],
        "high": [limit(each, MISSED) for each in by_week],
    }


def covered(days: Days, told: np.ndarray, limits: dict[str, list[float]]) -> float:
    errors = (days.logs - told) / days.numbers[:, SPREAD]
    low, high = (np.array(limits[side])[days.week] for side in ("low", "high"))
    return float(((errors >= low) & (errors <= high)).mean())


# On a busy machine two threads wait for each other by spinning, 30 times slower than one.
@threadpool_limits.wrap(limits=1)
def fit(
    *,
    train: Examples[Plan, list[int]],
    weights: Path,
    seed: int,
    share: int,
    folds: int,
    trees: int,
    leaves: int,
    arima_stores: int,
) -> Fitted:
    """The smallest RMSPE over `folds` origins, the last ones, among what is served as a graph.

    Every `share`th store is learnt from. The others are forecast too, unseen.
    """
    known = Days.of(train.records, train.truths)
    taught = known.where(np.isin(known.store, np.unique(known.store)[::share]))
    makers = regressors(seed, trees, leaves)
    rules: dict[str, tuple[Told, Days]] = {
        "baseline": (baseline, known),
        "prophet_style": (prophet_style, known),
        **{name: (partial(boosted, make), taught) for name, make in makers.items()},
    }
    held = [known.where(known.origin == each) for each in np.unique(known.origin)[-folds:]]
    last, origin = held[-1], int(held[-1].origin[0])
    stores = np.unique(last.store)
    few = np.isin(last.store, stores[:: max(len(stores) // arima_stores, 1)][:arima_stores])
    tried, limits = [], {}
    for name, (rule, learnt) in rules.items():
        told = [rule(learnt.where(learnt.date < each.origin[0]), each) for each in held]
        before = bounds(joined(held[:-1]), np.concatenate(told[:-1]))
        limits[name] = bounds(joined(held), np.concatenate(told))
        by_fold = [figures(*pair) for pair in zip((each.logs for each in held), told, strict=True)]
        metrics = measures.over_folds(by_fold, "rmspe") | {
            "rmspe_sample": figures(last.logs[few], told[-1][few])["rmspe"],
            "coverage": covered(last, told[-1], before),
        }
        tried.append(Candidate(name, metrics, {}, {"rmspe by week": weekly(last, told[-1])}))
    sample = last.where(few)
    answered, orders = arima(known.where(known.date < origin), sample)
    error = figures(sample.logs, answered)["rmspe"]
    tried.append(Candidate("arima", {"rmspe_sample": error}, orders))
    served = [each for each in tried if each.name in makers]
    chosen = min(served, key=lambda each: each.metrics["rmspe"]).name
    best = makers[chosen]().fit(taught.numbers, taught.above_level)
    if isinstance(best, LGBMRegressor):
        in_float32(best)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / INTERVALS).write_text(json.dumps(limits[chosen], indent=1) + "\n")

    def native(plans: list[Plan]) -> list[Forecast]:
        numbers = features(plans)["numbers"]
        return forecasts(plans, numbers, best.predict(numbers), limits[chosen])

    return Fitted(tried, chosen, native)


def in_float32(model: LGBMRegressor) -> None:
    """Make its thresholds the next lower number of float32, as which the graph keeps them.

    Of numbers in float32 the same ones are below. Rounded to the nearest, the graph sent 3 test
    days of 1,000 another way in some tree: a midpoint of two numbers of four digits may be a third.
    """

    def lower(line: re.Match[str]) -> str:
        values = np.array(line[1].split(), dtype=np.float64)
        near = values.astype(np.float32)
        below = np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
        return "threshold=" + " ".join(repr(float(each)) for each in below)

    # Without the sizes of the trees, which are no longer true, they are read one by one.
    text = re.sub("^tree_sizes=.*\n", "", model.booster_.model_to_string(), flags=re.MULTILINE)
    model._Booster = Booster(model_str=re.sub("^threshold=(.*)$", lower, text, flags=re.MULTILINE))


def flat(answers: list[Forecast], truths: list[list[int]]) -> np.ndarray:
    """Sold, forecast, low and high of every open day: (4, days)."""
    rows = [
        day
        for each, truth in zip(answers, truths, strict=True)
        for day in zip(truth, each.sales, each.low, each.high, strict=False)
        if day[0] > 0
    ]
    return np.array(rows, dtype=np.float64).T


def score(*, answers: list[Forecast], truths: list[list[int]]) -> dict[str, float]:
    """Of open days. Width is relative to the forecast."""
    sold, told, low, high = flat(answers, truths)
    return {
        **figures(np.log(sold), np.log(told)),
        "bias": float(np.mean(told / sold - 1)),
        "coverage": float(((sold >= low) & (sold <= high)).mean()),
        "missed_below": float((sold < low).mean()),
        "missed_above": float((sold > high).mean()),
        "width": float(((high - low) / told).mean()),
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
    """What an open store sells a day, Monday to Saturday: trend, season of two weeks and rest (STL:
    Cleveland and others 1990). Promotions come every other week; less than two years are too few
    to part a season of the year from the trend."""
    days = Days.of(evaluation.train.records, evaluation.train.truths)
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


def weekly(days: Days, told: np.ndarray) -> list[float]:
    """RMSPE by week ahead."""
    weeks = (days.week == each for each in range(WEEKS))
    return [figures(days.logs[mine], told[mine])["rmspe"] for mine in weeks]


def by_week(axes: list[Axes], evaluation: Evaluation) -> None:
    """The candidates on the last fold; what is served and the baseline on the test days."""
    left, right = axes
    colours = {}
    for each in evaluation.candidates:
        if "rmspe by week" in each.curves:
            (line,) = left.plot(range(1, WEEKS + 1), each.curves["rmspe by week"], label=each.name)
            colours[each.name] = line.get_color()
    left.set_title("RMSPE of the last fold (validation)")
    days = Days.of(evaluation.test.records, evaluation.test.truths)
    answered = np.log(flat(evaluation.answers, evaluation.test.truths)[1])
    for name, told in (("baseline", baseline(days, days)), (evaluation.chosen, answered)):
        whole = figures(days.logs, told)["rmspe"]
        label = f"{name}: {whole:.4f} in all"
        right.plot(range(1, WEEKS + 1), weekly(days, told), label=label, color=colours[name])
    right.set_title("RMSPE of the test days")
    for panel in axes:
        panel.set(xlabel="week ahead", ylim=(0, None))
        panel.legend(loc="lower right")


def coverage(axes: list[Axes], evaluation: Evaluation) -> None:
    """Test days: by week ahead, and in quarters by how restless their store was."""
    days = Days.of(evaluation.test.records, evaluation.test.truths)
    sold, _, low, high = flat(evaluation.answers, evaluation.test.truths)
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
    plan, told = evaluation.test.records[place], evaluation.answers[place]
    sold = np.array(list(evaluation.test.truths[place]), dtype=float)
    opened = sold > 0
    day = np.arange(len(sold))[opened]
    low, high, forecast = (np.array(each)[opened] for each in (told.low, told.high, told.sales))
    axes.vlines(day, low, high, color=plots.ACCENT, alpha=0.3, linewidth=3)
    axes.plot(day, forecast, ".", color=plots.ACCENT, label="forecast")
    axes.plot(day, sold[opened], "x", color=plots.INK, markersize=4, label="sold")
    title = f"Store {plan.store}, from {plan.first_day}"
    axes.set(xlabel="days ahead", ylim=(0, None), title=title)
    axes.legend(loc="lower left", ncols=2)
