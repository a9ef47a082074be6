"""Ways to tell the next day: naive rules, Fourier seasons, ARIMA, and lags into regressions."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .model import AHEAD, BACK, DAYS, features
from .windows import EPOCH, Windows

# From the simplest: ridge has one weight a column, boosting many trees.
SERVED = ("ridge_lags", "boosted_lags")


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
