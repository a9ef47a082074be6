"""Prophet, without reports of each fit, simulated intervals, or files left behind.

Taylor and Letham, Forecasting at Scale (2018).
"""

import logging
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from prophet import Prophet


def quiet_prophet(**settings: Any) -> "Prophet":
    """Return an unfitted Prophet with `settings` and without a season of the day.

    It predicts the mean alone: the projects' intervals are conformal.
    """
    from cmdstanpy import disable_logging
    from prophet import Prophet

    # Both report every fit. Importing Prophet sets its level, so this comes after the import.
    disable_logging()
    logging.getLogger("prophet").setLevel(logging.ERROR)
    return Prophet(daily_seasonality=False, uncertainty_samples=0, **settings)


def fit_prophet(model: "Prophet", table: pd.DataFrame, *, seed: int) -> None:
    """Fit the model to the columns `ds`, `y` and those of its regressors and conditions.

    Stan's optimizer runs in a process of its own, and its files are removed.
    """
    with TemporaryDirectory() as folder:
        model.fit(table, seed=seed, output_dir=folder)
