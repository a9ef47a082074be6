"""Predictions whose level is moved by what the same season showed a year before."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.pipeline import Pipeline

from slipway.contract.calibration import log_odds

# Moments are 90 days apart.
MOMENTS_A_YEAR = 4
# Log odds beyond which no share is moved.
FARTHEST = 10.0


def shift_to(share: float, odds: np.ndarray) -> float:
    """Return what added to the log odds (rows,) makes their mean probability the share."""
    return float(brentq(lambda shift: expit(odds + shift).mean() - share, -FARTHEST, FARTHEST))


def moved_by_last_year(
    pipeline: Pipeline, numbers: np.ndarray, bought: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """Return probabilities (rows,) of the moments that have one a year before; NaN for the others.

    A moment's log odds, from a model fitted on the moments before, get the shift by which that
    model misses the share of buyers a year before.
    """
    y_prob = np.full(len(bought), np.nan)
    for moment in range(MOMENTS_A_YEAR, int(at.max()) + 1):
        pipeline.fit(numbers[at < moment], bought[at < moment])
        year_before = at == moment - MOMENTS_A_YEAR
        before, now = (
            log_odds(pipeline.predict_proba(numbers[rows])[:, 1])
            for rows in (year_before, at == moment)
        )
        y_prob[at == moment] = expit(now + shift_to(float(bought[year_before].mean()), before))
    return y_prob
