"""The cost of decisions, by which candidates are chosen and the served model is scored."""

import numpy as np

from .model import LOSS_OF_DEFAULT, LOST_MARGIN

CUTS = np.round(np.arange(0.01, 1.0, 0.01), 2)


def costs(refused: np.ndarray, defaulted: np.ndarray) -> np.ndarray:
    """Return the cost in dollars of each borrower (rows,): defaults granted, good loans refused."""
    missed, lost = defaulted & ~refused, ~defaulted & refused
    return np.asarray(missed * LOSS_OF_DEFAULT + lost * LOST_MARGIN)


def cost(refused: np.ndarray, defaulted: np.ndarray) -> float:
    """Return the mean of `costs`, in dollars per borrower."""
    return float(np.mean(costs(refused, defaulted)))
