"""The profit of offers made in order of expected gain, and the names of the calibrations.

`fit` computes the profit on validation rows, and `evaluate` draws it on the test rows.
"""

import numpy as np

from .model import Offer

CALIBRATIONS = ("none", "sigmoid", "isotonic")


def profits(gains: np.ndarray, left: np.ndarray, revenue: np.ndarray, offer: Offer) -> np.ndarray:
    """Return dollars per customer (rows + 1,) if the first 0, 1, ... by `gains` are called.

    The success rate of the offer is assumed; which customers would leave is known.
    """
    order = np.argsort(-gains, kind="stable")
    profit = offer.success_rate * revenue[order] * left[order] - offer.cost
    return np.concatenate([[0.0], np.cumsum(profit)]) / len(gains)


def by_gain(
    y_prob: np.ndarray, left: np.ndarray, monthly: np.ndarray, offer: Offer
) -> tuple[np.ndarray, int]:
    """Return profits in the order of expected gain, and the number of customers with a gain."""
    gains = offer.gain(y_prob, monthly)
    return profits(gains, left, offer.revenue(monthly), offer), int((gains > 0).sum())
