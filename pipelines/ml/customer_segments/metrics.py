"""The share of the later spending that the segments explain.

`fit` computes it for each candidate, and `evaluate` for the served segments of the test customers.
"""

import numpy as np


def explained(labels: np.ndarray, spent: np.ndarray) -> float:
    """Return the share of the variance of log(1 + later spending) that lies between segments.

    Both arguments are (rows,). The share is 0 if all customers spent the same.
    """
    log = np.log1p(spent)
    if not log.var():
        return 0.0
    means = {label: log[labels == label].mean() for label in np.unique(labels)}
    return float(np.var([means[label] for label in labels]) / log.var())
