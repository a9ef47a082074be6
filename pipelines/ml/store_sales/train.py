"""Fit similar days, Prophet, ARIMA and boosting, from rolling origins.

A fold's forecasts use only sales before its origin. The intervals are fitted to such forecasts,
since errors are smaller on days that a model was fitted on. The simpler of the two boosting
libraries within one standard error of the lower error is served.
"""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
from lightgbm import Booster, LGBMRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.boosting_export import export_boosting
from slipway.training.conformal import conformal_quantile
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import mean_over_folds

from .days import Days, concatenate
from .forecasters import Forecaster, arima, baseline, boosted, prophet_style, regressors
from .metrics import MISSED, forecast_errors, weekly
from .model import INTERVALS, NUMBERS, SPREAD, WEEKS, Forecast, Plan, features, forecasts
from .prophet_fit import prophet


def bounds(days: Days, y_pred: np.ndarray) -> dict[str, list[float]]:
    """Return how many spreads below and above a forecast its interval ends, by week ahead.

    Split conformal prediction with normalized errors (Papadopoulos et al. 2002).
    """
    errors = (days.logs - y_pred) / days.numbers[:, SPREAD]
    by_week = [errors[days.week == week] for week in range(WEEKS)]
    return {
        "low": [-conformal_quantile(-each, MISSED) for each in by_week],
        "high": [conformal_quantile(each, MISSED) for each in by_week],
    }


def coverage(days: Days, y_pred: np.ndarray, limits: dict[str, list[float]]) -> float:
    """Return the share of days inside their interval."""
    errors = (days.logs - y_pred) / days.numbers[:, SPREAD]
    low, high = (np.array(limits[side])[days.week] for side in ("low", "high"))
    return float(((errors >= low) & (errors <= high)).mean())


# On a busy machine two threads spin while they wait for each other, 30 times slower than one.
@threadpool_limits.wrap(limits=1)
def fit(
    *,
    train: LabelledRows[Plan, list[int]],
    weights: Path,
    seed: int,
    share: int,
    folds: int,
    trees: int,
    leaves: int,
    arima_stores: int,
) -> Fitted:
    """Choose among regressors that export to a graph, by RMSPE over the last `folds` origins.

    They are fitted on every `share`th store, and forecast all of them.
    """
    known = Days.from_plans(train.records, train.labels)
    sampled = known.where(np.isin(known.store, np.unique(known.store)[::share]))
    makers = regressors(seed, trees, leaves)
    forecasters: dict[str, tuple[Forecaster, Days]] = {
        "baseline": (baseline, known),
        "prophet_style": (prophet_style, known),
        "prophet": (partial(prophet, seed=seed), known),
        **{name: (partial(boosted, make), sampled) for name, make in makers.items()},
    }
    held = [known.where(known.origin == each) for each in np.unique(known.origin)[-folds:]]
    last, origin = held[-1], int(held[-1].origin[0])
    stores = np.unique(last.store)
    few = np.isin(last.store, stores[:: max(len(stores) // arima_stores, 1)][:arima_stores])
    tried, limits = [], {}
    for name, (forecaster, learn) in forecasters.items():
        y_pred = [forecaster(learn.where(learn.date < each.origin[0]), each) for each in held]
        before = bounds(concatenate(held[:-1]), np.concatenate(y_pred[:-1]))
        limits[name] = bounds(concatenate(held), np.concatenate(y_pred))
        pairs = zip((each.logs for each in held), y_pred, strict=True)
        by_fold = [forecast_errors(*pair) for pair in pairs]
        metrics = mean_over_folds(by_fold, "rmspe") | {
            "rmspe_sample": forecast_errors(last.logs[few], y_pred[-1][few])["rmspe"],
            "coverage": coverage(last, y_pred[-1], before),
            "rmspe_se": fold_error([each["rmspe"] for each in by_fold]),
        }
        tried.append(Candidate(name, metrics, {}, {"rmspe by week": weekly(last, y_pred[-1])}))
    sample = last.where(few)
    arima_pred, orders = arima(known.where(known.date < origin), sample)
    error = forecast_errors(sample.logs, arima_pred)["rmspe"]
    tried.append(Candidate("arima", {"rmspe_sample": error}, orders))
    served = [each for each in tried if each.name in makers]
    chosen = simplest_within_error(served, "rmspe", best="lowest").name
    best = makers[chosen]().fit(sampled.numbers, sampled.above_level)
    if isinstance(best, LGBMRegressor):
        in_float32(best)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / INTERVALS).write_text(json.dumps(limits[chosen], indent=1) + "\n")

    def framework_predict(plans: list[Plan]) -> list[Forecast]:
        numbers = features(plans)["numbers"]
        return forecasts(plans, numbers, best.predict(numbers), limits[chosen])

    return Fitted(tried, chosen, framework_predict)


def in_float32(model: LGBMRegressor) -> None:
    """Round the model's thresholds down to float32, the precision of the graph.

    float32 inputs then take the same branches. Rounded to the nearest, 3 of 1,000 test days took
    another branch in some tree: the midpoint of two numbers of four digits can round to a third.
    """

    def lower(line: re.Match[str]) -> str:
        values = np.array(line[1].split(), dtype=np.float64)
        near = values.astype(np.float32)
        below = np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
        return "threshold=" + " ".join(repr(float(each)) for each in below)

    # The sizes of the trees are no longer valid. Without them, LightGBM reads the trees one by one.
    text = re.sub("^tree_sizes=.*\n", "", model.booster_.model_to_string(), flags=re.MULTILINE)
    model._Booster = Booster(model_str=re.sub("^threshold=(.*)$", lower, text, flags=re.MULTILINE))
