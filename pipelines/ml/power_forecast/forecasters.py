"""Forecasters of the next day: naive rules, Prophet, ARIMA, and regressions on lags."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .model import AHEAD, BACK, DAYS, features
from .prophet_fit import DAY, WEEK, YEAR, prophet_curve
from .windows import EPOCH, Windows

# The simpler first: ridge has one weight per column, boosting many trees.
SERVED = ("ridge_lags", "boosted_lags")


@dataclass(frozen=True)
class Forecaster:
    """A fitted forecaster: windows to logarithms (rows, 24), and parameters found in fitting."""

    forecast: Callable[[Windows], np.ndarray]
    parameters: dict[str, object] = field(default_factory=dict)


FitForecaster = Callable[[Windows], Forecaster]


def baseline(_: Windows) -> Forecaster:
    """Forecast each hour as the same hour a week before."""
    return Forecaster(lambda windows: windows.past[:, :AHEAD])


def yesterday(_: Windows) -> Forecaster:
    return Forecaster(lambda windows: windows.past[:, -AHEAD:])


def mean_of_days(_: Windows) -> Forecaster:
    """Forecast the geometric mean of the same hour over seven days, since powers are logarithms."""
    return Forecaster(lambda windows: windows.past.reshape(-1, DAYS, AHEAD).mean(axis=1))


def seasons(hours: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return Prophet's regressors (Taylor and Letham 2018), one column each.

    They are a trend that bends at `knots`, and Fourier terms of day, week and year. Terms of the
    day occur twice, for working days and for weekends.
    """
    weekend = ((hours // 24 + EPOCH.weekday()) % 7 >= 5).astype(float)
    columns = [hours / 8766.0, weekend, *(np.maximum(hours - knot, 0) / 8766.0 for knot in knots)]
    for period, orders in ((24.0, DAY), (168.0, WEEK), (8766.0, YEAR)):
        for order in range(1, orders + 1):
            for wave in (np.sin, np.cos):
                term = wave(2 * np.pi * order * hours / period)
                columns += [term, term * weekend] if period == 24.0 else [term]
    return np.stack(columns, axis=-1)


def season_model(train: Windows) -> Callable[[np.ndarray], np.ndarray]:
    """Return a ridge regression on `seasons`, from hours of any shape to logarithms."""
    hours, logs = train.series()
    known = np.isfinite(logs)
    # As in Prophet: bends in the first four fifths only.
    knots = np.linspace(hours[0], hours[0] + 0.8 * (hours[-1] - hours[0]), 12)[1:]
    ridge = Ridge(alpha=20.0).fit(seasons(hours[known], knots), logs[known])

    def predict(at: np.ndarray) -> np.ndarray:
        flat = ridge.predict(seasons(at.ravel().astype(float), knots))
        return np.asarray(flat.reshape(at.shape))

    return predict


def prophet_style(train: Windows) -> Forecaster:
    return by_calendar(season_model(train))


def prophet(seed: int) -> FitForecaster:
    """Return a function that fits Prophet itself, with the seasons of `prophet_style`."""
    return lambda train: by_calendar(prophet_curve(*train.series(), seed=seed))


def by_calendar(curve: Callable[[np.ndarray], np.ndarray]) -> Forecaster:
    """Return the forecaster that evaluates `curve`, from hours to logarithms, and nothing else."""
    return Forecaster(lambda windows: curve(windows.at[:, None] + np.arange(AHEAD)))


def arima_order(residuals: np.ndarray) -> tuple[int, int, int]:
    """Return p, d and q for a series (hours,).

    The series is differenced d times, until the Dickey-Fuller test rejects a unit root at 5 %; p
    and q have the lowest AIC.
    """
    from statsmodels.tsa.arima.model import ARIMA  # type: ignore[import-untyped]
    from statsmodels.tsa.stattools import adfuller  # type: ignore[import-untyped]

    known, d = residuals[np.isfinite(residuals)], 0
    while d < 2 and adfuller(np.diff(known, d), maxlag=48, result_object=False)[1] > 0.05:
        d += 1
    orders = [(p, d, q) for p in range(4) for q in range(3) if p + q]
    return min(orders, key=lambda order: float(ARIMA(residuals, order=order, trend="n").fit().aic))


def arima(train: Windows, *, hours_used: int = 24 * 90) -> Forecaster:
    """Fit ARIMA to the residuals of the seasons in the last hours, with p, d and q selected.

    A window's forecast is the seasons plus the forecast of the equivalent autoregression over its
    168 hours.
    """
    from statsmodels.tsa.arima.model import ARIMA  # type: ignore[import-untyped]
    from statsmodels.tsa.arima_process import ArmaProcess  # type: ignore[import-untyped]

    seasonal = season_model(train)
    hours, logs = train.series()
    residuals = (logs - seasonal(hours))[-hours_used:]
    with warnings.catch_warnings():
        # Orders that fit badly cause warnings, and are not selected because of their AIC.
        warnings.simplefilter("ignore")
        order = arima_order(residuals)
        fitted = ARIMA(residuals, order=order, trend="n").fit()
    unit = np.array([1.0])
    for _ in range(order[1]):
        unit = np.polymul(unit, [1.0, -1.0])
    process = ArmaProcess(np.polymul(fitted.polynomial_ar, unit), fitted.polynomial_ma)
    weights = -process.arma2ar(BACK + 1)[1:][::-1]

    def forecast(windows: Windows) -> np.ndarray:
        line = windows.past - seasonal(windows.at[:, None] + np.arange(-BACK, 0))
        for _ in range(AHEAD):
            line = np.concatenate([line, (line[:, -BACK:] @ weights)[:, None]], axis=1)
        return np.asarray(line[:, BACK:] + seasonal(windows.at[:, None] + np.arange(AHEAD)))

    return Forecaster(forecast, {"order": list(order)})


def lags(name: str, seed: int, trees: int) -> FitForecaster:
    """Return a function that fits the regressor `name` to lags and the calendar."""

    def fit(train: Windows) -> Forecaster:
        model = regressor(name, seed, trees)
        model.fit(features(train.records)["numbers"], train.future.ravel())

        def forecast(windows: Windows) -> np.ndarray:
            y_pred = model.predict(features(windows.records)["numbers"])
            return np.asarray(y_pred.reshape(-1, AHEAD))

        return Forecaster(forecast)

    return fit


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


def forecasters(seed: int, trees: int) -> dict[str, FitForecaster]:
    """Return the functions that fit each candidate, by name."""
    return {
        "baseline": baseline,
        "yesterday": yesterday,
        "mean_of_days": mean_of_days,
        "prophet_style": prophet_style,
        "prophet": prophet(seed),
        "arima": arima,
        **{name: lags(name, seed, trees) for name in SERVED},
    }
