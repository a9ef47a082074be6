"""Prophet itself (Taylor and Letham, Forecasting at Scale, 2018), one model per store."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from slipway.training.quiet_prophet import fit_prophet, quiet_prophet

from .days import Days, by_store
from .model import BACK, NUMBERS

PLAN = ("promo", "school_holiday")
# Fourier terms of the year.
YEAR = 5
# Stan's optimizer runs in a process of its own, so that threads suffice for two cores.
SIDE_BY_SIDE = 2


def prophet(learn: Days, test: Days, *, seed: int) -> np.ndarray:
    """Return forecasts as logarithms (days,); the baseline's where little is known of a store.

    The plan's promotions and school holidays are regressors. `test` has one origin.
    """
    forecast, known = test.alike.astype(np.float64), by_store(learn)
    rows = {store: own for store, own in by_store(test).items() if len(known.get(store, ())) > BACK}

    def of_store(store: int) -> np.ndarray:
        return store_forecast(learn.where(known[store]), test.where(rows[store]), seed=seed)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for store, own in zip(rows, pool.map(of_store, rows), strict=True):
            forecast[rows[store]] = own
    return forecast


def store_forecast(learn: Days, test: Days, *, seed: int) -> np.ndarray:
    """Return one store's forecasts as logarithms (days,); both are in order of time."""
    model = quiet_prophet(weekly_seasonality=True, yearly_seasonality=YEAR)
    for name in PLAN:
        model.add_regressor(name)
    fit_prophet(model, plan(learn).assign(y=learn.logs), seed=seed)
    return model.predict(plan(test))["yhat"].to_numpy()


def plan(days: Days) -> pd.DataFrame:
    """Return Prophet's columns of the days of one store."""
    dates = pd.to_datetime([pd.Timestamp.fromordinal(each) for each in days.date.tolist()])
    columns = {name: days.numbers[:, NUMBERS.index(name)].astype(float) for name in PLAN}
    return pd.DataFrame({"ds": dates, **columns})
