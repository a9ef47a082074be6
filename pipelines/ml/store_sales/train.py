"""Fit days alike, seasons in Prophet's style, ARIMA and boosting, from rolling origins.

A fold's forecasts come from what was sold before its origin alone. The intervals are learnt from
such forecasts, since a model errs less on days that it was fitted on. Of the two boosting libraries
the simplest within one standard error of the lower error is served.
"""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
from lightgbm import Booster, LGBMRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Examples, Fitted
from slipway.training.boosting_export import export_boosting
from slipway.training.conformal import limit
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import mean_over_folds

from .days import Days, joined
from .forecasters import Told, arima, baseline, boosted, prophet_style, regressors
from .metrics import MISSED, forecast_errors, weekly
from .model import INTERVALS, NUMBERS, SPREAD, WEEKS, Forecast, Plan, features, forecasts


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
    """Choose by RMSPE over the last `folds` origins, among what is served as a graph.

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
        pairs = zip((each.logs for each in held), told, strict=True)
        by_fold = [forecast_errors(*pair) for pair in pairs]
        metrics = mean_over_folds(by_fold, "rmspe") | {
            "rmspe_sample": forecast_errors(last.logs[few], told[-1][few])["rmspe"],
            "coverage": covered(last, told[-1], before),
            "rmspe_se": fold_error([each["rmspe"] for each in by_fold]),
        }
        tried.append(Candidate(name, metrics, {}, {"rmspe by week": weekly(last, told[-1])}))
    sample = last.where(few)
    answered, orders = arima(known.where(known.date < origin), sample)
    error = forecast_errors(sample.logs, answered)["rmspe"]
    tried.append(Candidate("arima", {"rmspe_sample": error}, orders))
    served = [each for each in tried if each.name in makers]
    chosen = simplest_within_error(served, "rmspe", best="lowest").name
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
