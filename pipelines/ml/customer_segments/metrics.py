"""Metrics of segments: `fit` computes them for each candidate, `evaluate` for the served ones."""

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


def silhouettes(points: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return simplified silhouettes (Hruschka, de Castro and Campello 2004), from -1 to 1 (rows,).

    For points (rows, 3) and centres (segments, 3) it is how much nearer the own centre is than the
    nearest other one, divided by the larger distance. The plain silhouette compares the mean
    distances to all members of both segments instead.
    """
    rows = np.arange(len(points))
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    other = distances.min(axis=1)
    return np.asarray((other - own) / np.maximum(own, other))
