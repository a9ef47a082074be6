"""Fit naive rules, Fourier seasons, ARIMA, and lags into ridge and boosting, from rolling origins.

Each fold's forecasts come from a model that was fitted on hours before the fold only, as it will be
used. The intervals are learnt from such forecasts, since a model errs less on hours that it was
fitted on. Of ridge and boosting the simplest within one standard error of the lower
error is served.
"""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Examples, Fitted
from slipway.training.conformal import limit
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .forecasters import SERVED, Taught, Teach, regressor, teachers
from .model import (
    AHEAD,
    INTERVALS,
    MISSED,
    NUMBERS,
    Forecast,
    History,
    features,
    forecasts,
    hours_asked,
)
from .windows import Windows


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
    """Choose by mean absolute error from rolling origins, among what is served as a graph."""
    known = Windows.of(train.records, train.truths)
    spans = folds(known.at, count, days)
    tried, errors = [], {}
    # Boosting's threads wait for each other by spinning: on two busy cores 30 times slower.
    with threadpool_limits(limits=1):
        for name, teach in teachers(seed, trees).items():
            errors[name], found = rolled(teach, known, spans)
            tried.append(replace(found, name=name))
        served = [each for each in tried if each.name in SERVED]
        chosen = simplest_within_error(served, "mae", best="lowest").name
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
    by_span = [float(each.mean()) for each in misses]
    metrics = {
        "mae": float(np.mean(by_span)),
        "coverage": float(((errors[-1] >= low) & (errors[-1] <= high)).mean()),
        "width": float((np.exp(told + high) - np.exp(told + low)).mean()),
        "mae_std": float(np.std(by_span)),
        "mae_se": fold_error(by_span),
    }
    by_hour = np.concatenate(misses).mean(axis=0).tolist()
    return np.concatenate(errors), Candidate("", metrics, taught.found, {"mae by hour": by_hour})
