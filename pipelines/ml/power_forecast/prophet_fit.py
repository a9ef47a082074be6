"""Prophet itself (Taylor and Letham, Forecasting at Scale, 2018), on the hours of the household."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from slipway.training.quiet_prophet import fit_prophet, quiet_prophet

from .windows import EPOCH

# Fourier terms of each season.
DAY, WEEK, YEAR = 10, 3, 4


def prophet_curve(
    hours: np.ndarray, logs: np.ndarray, *, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a fitted Prophet, as a function from hours of any shape to logarithms.

    `hours` since `EPOCH` and `logs` are (hours,); unknown hours are NaN. Working days and weekends
    have a season of the day each.
    """
    model = quiet_prophet(weekly_seasonality=WEEK, yearly_seasonality=YEAR)
    for days in ("working", "weekend"):
        model.add_seasonality(days, period=1, fourier_order=DAY, condition_name=days)
    known = np.isfinite(logs)
    fit_prophet(model, calendar(hours[known]).assign(y=logs[known]), seed=seed)

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
