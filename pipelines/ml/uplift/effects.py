"""The effect of an e-mail as a line of the predicted uplift, fitted to customers left out."""

import numpy as np

from .drawn import NONE, RandomizedCustomers
from .learners import PROPENSITY
from .model import CERTAINTY, EffectLine


def fit_effect_line(visits: np.ndarray, customers: RandomizedCustomers, email: int) -> EffectLine:
    """Return the effect of an e-mail by the uplift that was predicted for it.

    `visits` are probabilities (rows, 3) from learners that did not see the customer. The line is
    the best linear predictor of the effect (Chernozhukov, Demirer, Duflo and Fernandez-Val,
    Generic machine learning inference on heterogeneous treatment effects, 2018), with standard
    errors robust to unequal variances (White 1980). It is level, so that all customers have the
    mean effect, if the interval of its slope contains 0 or less.
    """
    rows = customers.places(NONE, email)
    uplift, without = visits[rows, email] - visits[rows, NONE], visits[rows, NONE]
    visited = customers.visited[rows].astype(np.float64)
    sent = (customers.email[rows] == email) - PROPENSITY
    center = float(uplift.mean())
    # A learner that predicts one effect for all leaves nothing to fit a slope to.
    if np.ptp(uplift) > 0:
        columns = np.stack([sent, sent * (uplift - center), np.ones(len(rows)), without], axis=1)
        (mean, slope), ((variance, both), (_, spread)) = _least_squares(columns, visited)
        if slope > CERTAINTY * spread**0.5:
            return EffectLine(center, mean, slope, variance, both, spread)
    (mean, _), ((variance, _), _) = _least_squares(
        np.stack([sent, np.ones(len(rows))], axis=1), visited
    )
    return EffectLine(center, mean, 0.0, variance, 0.0, 0.0)


def _least_squares(
    columns: np.ndarray, target: np.ndarray
) -> tuple[list[float], list[list[float]]]:
    """Return the first two coefficients of a regression, and their covariance (2, 2)."""
    coefficients, *_ = np.linalg.lstsq(columns, target, rcond=None)
    bread = np.linalg.pinv(columns.T @ columns)
    weighted = columns * (target - columns @ coefficients)[:, None]
    covariance = bread @ (weighted.T @ weighted) @ bread
    return coefficients[:2].tolist(), covariance[:2, :2].tolist()
