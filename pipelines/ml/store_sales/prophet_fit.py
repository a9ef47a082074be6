"""Prophet itself (Taylor and Letham, Forecasting at Scale, 2018), one model per store."""

import logging
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

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
    from cmdstanpy import disable_logging

    forecast, known = test.alike.astype(np.float64), by_store(learn)
    rows = {store: own for store, own in by_store(test).items() if len(known.get(store, ())) > BACK}

    def of_store(store: int) -> np.ndarray:
        return store_forecast(learn.where(known[store]), test.where(rows[store]), seed=seed)

    with disable_logging(), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for store, own in zip(rows, pool.map(of_store, rows), strict=True):
            forecast[rows[store]] = own
    return forecast


def store_forecast(learn: Days, test: Days, *, seed: int) -> np.ndarray:
    """Return one store's forecasts as logarithms (days,); both are in order of time."""
    from prophet import Prophet

    # Prophet reports every fit. Importing it sets its level, so this comes after the import.
    logging.getLogger("prophet").setLevel(logging.ERROR)
    model = Prophet(
        daily_seasonality=False,
        weekly_seasonality=True,
        yearly_seasonality=YEAR,
        # No simulated intervals: all candidates have conformal ones.
        uncertainty_samples=0,
    )
    for name in PLAN:
        model.add_regressor(name)
    # For Stan's files.
    with TemporaryDirectory() as folder:
        model.fit(plan(learn).assign(y=learn.logs), seed=seed, output_dir=folder)
    return model.predict(plan(test))["yhat"].to_numpy()


def plan(days: Days) -> pd.DataFrame:
    """Return Prophet's columns of the days of one store."""
    dates = pd.to_datetime([pd.Timestamp.fromordinal(each) for each in days.date.tolist()])
    columns = {name: days.numbers[:, NUMBERS.index(name)].astype(float) for name in PLAN}
    return pd.DataFrame({"ds": dates, **columns})
