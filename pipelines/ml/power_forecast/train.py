"""Fit naive rules, Prophet, ARIMA, and ridge and boosting on lags, from rolling origins.

Each fold's forecasts come from a model that was fitted only on hours before the fold, as in
service. The intervals are fitted to such forecasts, since errors are smaller on hours that a model
was fitted on. The simpler of ridge and boosting within one standard error of the lower error is
served.
"""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.conformal import conformal_quantile
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .forecasters import SERVED, FitForecaster, Forecaster, forecasters, regressor
from .model import (
    AHEAD,
    INTERVALS,
    MISSED,
    NUMBERS,
    Forecast,
    History,
    features,
    forecast_calendar,
    forecasts,
)
from .windows import Windows


def folds(at: np.ndarray, count: int, days: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return masks (rows,) of training and test windows for the last `count` spans of `days` days.

    The oldest span comes first. Training windows end before the span begins.
    """
    end = int(at.max()) + 1
    borders = [end - 24 * days * back for back in range(count, -1, -1)]
    return [(at + AHEAD <= begin, (at >= begin) & (at < stop)) for begin, stop in pairwise(borders)]


def bounds(hour: np.ndarray, errors: np.ndarray) -> dict[str, list[float]]:
    """Return how far below and above a forecast its interval ends, by the hour of the day (24).

    `hour` and `errors` (true minus forecast, in logarithms) are (rows, 24). Coverage is exact for
    exchangeable rows; neighbouring hours are only approximately so.
    """
    by_hour = [errors[hour == each] for each in range(24)]
    return {
        "low": [-conformal_quantile(-each, MISSED) for each in by_hour],
        "high": [conformal_quantile(each, MISSED) for each in by_hour],
    }


def fit(
    *,
    train: LabelledRows[History, list[float]],
    weights: Path,
    seed: int,
    count: int,
    days: int,
    trees: int,
) -> Fitted:
    """Choose among regressors that export to a graph, by the error from rolling origins."""
    known = Windows.from_labelled(train.records, train.labels)
    spans = folds(known.at, count, days)
    tried, errors = [], {}
    # Boosting's threads spin while they wait for each other: on two busy cores 30 times slower.
    with threadpool_limits(limits=1):
        for name, fit_forecaster in forecasters(seed, trees).items():
            errors[name], candidate = rolling_origin(fit_forecaster, known, spans)
            tried.append(replace(candidate, name=name))
        served = [each for each in tried if each.name in SERVED]
        chosen = simplest_within_error(served, "mae", best="lowest").name
        best = regressor(chosen, seed, trees)
        best.fit(features(known.records)["numbers"], known.future.ravel())
    held_out = known.where(np.any([test for _, test in spans], axis=0))
    limits = bounds(forecast_calendar(held_out.records)[:, :, 0], errors[chosen])
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / INTERVALS).write_text(json.dumps(limits, indent=1) + "\n")

    def framework_predict(histories: list[History]) -> list[Forecast]:
        logs = best.predict(features(histories)["numbers"]).reshape(-1, AHEAD)
        return forecasts(histories, logs, limits)

    return Fitted(tried, chosen, framework_predict)


def rolling_origin(
    fit_forecaster: FitForecaster, known: Windows, spans: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, Candidate]:
    """Return the errors (rows, 24) of all spans in logarithms, and the candidate with its metrics.

    The coverage is that of the last span, with intervals from the spans before.
    """
    errors, misses, hours, fitted = [], [], [], Forecaster(lambda windows: windows.future)
    for learn, test in spans:
        fitted, held = fit_forecaster(known.where(learn)), known.where(test)
        y_pred = fitted.forecast(held)
        errors.append(held.future - y_pred)
        misses.append(np.abs(np.exp(held.future) - np.exp(y_pred)))
        hours.append(forecast_calendar(held.records)[:, :, 0])
    limits = bounds(np.concatenate(hours[:-1]), np.concatenate(errors[:-1]))
    low, high = (np.array(limits[side])[hours[-1]] for side in ("low", "high"))
    by_span = [float(each.mean()) for each in misses]
    metrics = {
        "mae": float(np.mean(by_span)),
        "coverage": float(((errors[-1] >= low) & (errors[-1] <= high)).mean()),
        "width": float((np.exp(y_pred + high) - np.exp(y_pred + low)).mean()),
        "mae_std": float(np.std(by_span)),
        "mae_se": fold_error(by_span),
    }
    by_hour = np.concatenate(misses).mean(axis=0).tolist()
    return np.concatenate(errors), Candidate(
        "", metrics, fitted.parameters, {"mae by hour": by_hour}
    )
