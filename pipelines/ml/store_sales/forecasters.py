"""Forecasters of sales: similar days, Prophet's regressors, ARIMA, and boosting."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from sklearn.linear_model import Ridge
from statsmodels.tsa.arima.model import ARIMA  # type: ignore[import-untyped]
from statsmodels.tsa.deterministic import (  # type: ignore[import-untyped]
    CalendarFourier,
    DeterministicProcess,
)
from statsmodels.tsa.stattools import adfuller  # type: ignore[import-untyped]
from xgboost import XGBRegressor

from .days import Days, by_store
from .model import BACK, LEVEL, NUMBERS
from .prophet_fit import PLAN, YEAR

WEEKDAY = NUMBERS.index("weekday")
PLANNED = [NUMBERS.index(each) for each in PLAN]

# Fits to some days and forecasts others, as logarithms (days,).
Forecaster = Callable[[Days, Days], np.ndarray]


def baseline(_: Days, test: Days) -> np.ndarray:
    """Forecast the mean of that weekday, with or without a promotion; later days weigh more."""
    return test.alike


def calendar(first: int, last: int) -> pd.DataFrame:
    """Return Prophet's regressors without the plan (Taylor and Letham 2018).

    They are a trend that bends twice a year in all but the last fifth, Fourier terms of the year,
    and weekdays.
    """
    days = pd.date_range(date.fromordinal(first), date.fromordinal(last), name="day")
    table: pd.DataFrame = DeterministicProcess(
        days, constant=False, order=1, additional_terms=[CalendarFourier("YE", YEAR)]
    ).in_sample()
    table["trend"] /= 365.25
    for bend in np.arange(0.5, 0.8 * table["trend"].max(), 0.5):
        table[f"bend_{bend}"] = np.maximum(table["trend"] - bend, 0)
    weekdays = pd.get_dummies(days.dayofweek, prefix="weekday", dtype=float)
    return table.join(weekdays.set_index(days))


def prophet_style(learn: Days, test: Days, *, penalty: float = 1.0) -> np.ndarray:
    """Forecast by ridge on `calendar` and the plan, per store; the baseline if little is known."""
    first = learn.date.min()
    table = calendar(first, test.date.max()).to_numpy()
    learn_columns, test_columns = (
        np.hstack([table[each.date - first], each.numbers[:, PLANNED]]) for each in (learn, test)
    )
    forecast = baseline(learn, test)
    known = by_store(learn)
    for store, rows in by_store(test).items():
        own = known.get(store, np.empty(0, dtype=np.int64))
        if len(own) > BACK:
            forecast[rows] = (
                Ridge(penalty).fit(learn_columns[own], learn.logs[own]).predict(test_columns[rows])
            )
    return forecast


def arima(learn: Days, test: Days) -> tuple[np.ndarray, dict[str, str]]:
    """Forecast by ARIMA, and return logarithms (days,) and each store's order as text "p,d,q".

    ARIMA is fitted to the residuals of weekdays and promotions in each store's last half year. The
    Dickey-Fuller test at 5 % gives d, and AIC chooses one of three (p, q). Closed days are missing
    values. `test` has one origin.
    """
    orders: dict[str, str] = {}
    forecast, origin = test.numbers[:, LEVEL].astype(np.float64), int(test.origin.min())
    for store, rows in by_store(test).items():
        known = learn.where((learn.store == store) & (learn.date >= origin - BACK))
        learn_columns, test_columns = effects(known), effects(test.where(rows))
        # Plans from other origins have other levels.
        above = known.logs - forecast[rows][0]
        coefficients = np.linalg.lstsq(learn_columns, above, rcond=None)[0]
        residuals = np.full(BACK, np.nan)
        residuals[known.date - origin] = above - learn_columns @ coefficients
        d = int(adfuller(residuals[np.isfinite(residuals)], result_object=False)[1] > 0.05)
        fits = [
            ARIMA(residuals, order=(p, d, q), trend="n").fit() for p, q in ((1, 0), (2, 0), (1, 1))
        ]
        best = min(fits, key=lambda each: float(each.aic))
        orders[f"store_{store}"] = "{},{},{}".format(*best.model.order)
        ahead = test.numbers[rows, 0].astype(int)
        forecast[rows] += test_columns @ coefficients + best.forecast(int(ahead.max()) + 1)[ahead]
    return forecast, orders


def effects(days: Days) -> np.ndarray:
    """Return indicators of weekdays and promotions (days, 8)."""
    weekdays = np.eye(7)[days.numbers[:, WEEKDAY].astype(int)]
    return np.column_stack([weekdays, days.numbers[:, PLANNED[0]]])


def boosted(make: Callable[[], Any], learn: Days, test: Days) -> np.ndarray:
    model = make().fit(learn.numbers, learn.above_level)
    return np.asarray(model.predict(test.numbers) + test.numbers[:, LEVEL])


def regressors(seed: int, trees: int, leaves: int) -> dict[str, Callable[[], Any]]:
    """Return constructors of the regressors by name, with equal trees and leaves; faster first."""
    shared: dict[str, Any] = {"n_estimators": trees, "learning_rate": 0.1, "random_state": seed}
    shared |= {"n_jobs": 1, "subsample": 0.7, "colsample_bytree": 0.7}
    return {
        "lightgbm": lambda: LGBMRegressor(
            num_leaves=leaves,
            min_child_samples=50,
            subsample_freq=1,
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
            **shared,
        ),
        "xgboost": lambda: XGBRegressor(
            max_leaves=leaves, grow_policy="lossguide", min_child_weight=50, **shared
        ),
    }
