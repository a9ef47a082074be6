"""Ways to tell what days sell: days alike, seasons in Prophet's style, ARIMA, and boosting."""

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

WEEKDAY = NUMBERS.index("weekday")
PLANNED = [NUMBERS.index(each) for each in ("promo", "school_holiday")]

# Learns some days, and answers others with logarithms.
Told = Callable[[Days, Days], np.ndarray]


def baseline(_: Days, asked: Days) -> np.ndarray:
    """The mean of that weekday, with a promotion or without; later ones weigh more."""
    return asked.alike


def calendar(first: int, last: int) -> pd.DataFrame:
    """Prophet's regressors but for the plan (Taylor and Letham 2018): a trend that bends twice a
    year in all but the last fifth, Fourier terms of the year and weekdays."""
    days = pd.date_range(date.fromordinal(first), date.fromordinal(last), name="day")
    told: pd.DataFrame = DeterministicProcess(
        days, constant=False, order=1, additional_terms=[CalendarFourier("YE", 5)]
    ).in_sample()
    told["trend"] /= 365.25
    for bend in np.arange(0.5, 0.8 * told["trend"].max(), 0.5):
        told[f"bend_{bend}"] = np.maximum(told["trend"] - bend, 0)
    weekdays = pd.get_dummies(days.dayofweek, prefix="weekday", dtype=float)
    return told.join(weekdays.set_index(days))


def prophet_style(learn: Days, asked: Days, *, penalty: float = 1.0) -> np.ndarray:
    """Ridge on `calendar` and the plan, a store at a time; the baseline's where little is known."""
    first = learn.date.min()
    table = calendar(first, asked.date.max()).to_numpy()
    seen, wanted = (
        np.hstack([table[each.date - first], each.numbers[:, PLANNED]]) for each in (learn, asked)
    )
    found = baseline(learn, asked)
    known = by_store(learn)
    for store, its in by_store(asked).items():
        mine = known.get(store, np.empty(0, dtype=np.int64))
        if len(mine) > BACK:
            found[its] = Ridge(penalty).fit(seen[mine], learn.logs[mine]).predict(wanted[its])
    return found


def arima(learn: Days, asked: Days) -> tuple[np.ndarray, dict[str, str]]:
    """On what weekdays and promotions leave of each store's last half year: d by the Dickey-Fuller
    test at 5 %, (p, q) of three by AIC. Closed days are unknown ones to it. `asked` is of one
    origin. Beside the logarithms, each store's p, d and q."""
    orders: dict[str, str] = {}
    found, origin = asked.numbers[:, LEVEL].astype(np.float64), int(asked.origin.min())
    for store, its in by_store(asked).items():
        known = learn.where((learn.store == store) & (learn.date >= origin - BACK))
        seen, wanted = effects(known), effects(asked.where(its))
        # Plans of other origins have other levels.
        above = known.logs - found[its][0]
        sizes = np.linalg.lstsq(seen, above, rcond=None)[0]
        rest = np.full(BACK, np.nan)
        rest[known.date - origin] = above - seen @ sizes
        d = int(adfuller(rest[np.isfinite(rest)], result_object=False)[1] > 0.05)
        tried = [ARIMA(rest, order=(p, d, q), trend="n").fit() for p, q in ((1, 0), (2, 0), (1, 1))]
        best = min(tried, key=lambda each: float(each.aic))
        orders[f"store_{store}"] = "{},{},{}".format(*best.model.order)
        ahead = asked.numbers[its, 0].astype(int)
        found[its] += wanted @ sizes + best.forecast(int(ahead.max()) + 1)[ahead]
    return found, orders


def effects(days: Days) -> np.ndarray:
    """One for each weekday and promotions (days, 8)."""
    weekdays = np.eye(7)[days.numbers[:, WEEKDAY].astype(int)]
    return np.column_stack([weekdays, days.numbers[:, PLANNED[0]]])


def boosted(make: Callable[[], Any], learn: Days, asked: Days) -> np.ndarray:
    model = make().fit(learn.numbers, learn.above_level)
    return np.asarray(model.predict(asked.numbers) + asked.numbers[:, LEVEL])


def regressors(seed: int, trees: int, leaves: int) -> dict[str, Callable[[], Any]]:
    """Return what makes each regressor by name: equal trees and leaves, the faster first."""
    same: dict[str, Any] = {"n_estimators": trees, "learning_rate": 0.1, "random_state": seed}
    same |= {"n_jobs": 1, "subsample": 0.7, "colsample_bytree": 0.7}
    return {
        "lightgbm": lambda: LGBMRegressor(
            num_leaves=leaves,
            min_child_samples=50,
            subsample_freq=1,
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
            **same,
        ),
        "xgboost": lambda: XGBRegressor(
            max_leaves=leaves, grow_policy="lossguide", min_child_weight=50, **same
        ),
    }
