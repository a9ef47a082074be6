"""Prophet itself (Taylor and Letham, Forecasting at Scale, 2018), on the hours of the household."""

import logging
from collections.abc import Callable
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from .windows import EPOCH

# Fourier terms of each season.
DAY, WEEK, YEAR = 10, 3, 4


def prophet_curve(
    hours: np.ndarray, logs: np.ndarray, *, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a fitted Prophet, as a function from hours of any shape to logarithms.

    `hours` since `EPOCH` and `logs` are (hours,); unknown hours are NaN. Working days and weekends
    have a season of the day each. Stan's optimizer runs in a process of its own, and its files are
    removed.
    """
    from cmdstanpy import disable_logging
    from prophet import Prophet

    # Both report every fit. Importing Prophet sets its level, so this comes after the import.
    logging.getLogger("prophet").setLevel(logging.ERROR)
    model = Prophet(
        daily_seasonality=False,
        weekly_seasonality=WEEK,
        yearly_seasonality=YEAR,
        # No simulated intervals: all candidates have conformal ones.
        uncertainty_samples=0,
    )
    for days in ("working", "weekend"):
        model.add_seasonality(days, period=1, fourier_order=DAY, condition_name=days)
    known = np.isfinite(logs)
    with disable_logging(), TemporaryDirectory() as folder:
        model.fit(calendar(hours[known]).assign(y=logs[known]), seed=seed, output_dir=folder)

    def predict(at: np.ndarray) -> np.ndarray:
        # Windows overlap.
        once, places = np.unique(at, return_inverse=True)
        forecast = model.predict(calendar(once))["yhat"].to_numpy()
        return np.asarray(forecast[places].reshape(at.shape))

    return predict


def calendar(hours: np.ndarray) -> pd.DataFrame:
    """Return Prophet's columns of hours since `EPOCH` (hours,)."""
    times = pd.Series(pd.Timestamp(EPOCH) + pd.to_timedelta(hours, "h"))
    weekend = times.dt.dayofweek >= 5
    return pd.DataFrame({"ds": times, "working": ~weekend, "weekend": weekend})
