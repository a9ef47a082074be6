"""The client's training on its rows, and the server's aggregation of the clients' weights.

It uses NumPy alone: Flower runs this file in its own environment, which does not contain Slipway.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Local:
    """The settings of a client's training within a round."""

    epochs: int = 1
    batch: int = 32
    rate: float = 0.5
    pull: float = 0.0
    """FedProx's mu (Li et al. 2020): how strongly weights are pulled to those at the start."""


def sigmoid(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -60, 60))))


def train_client(
    weights: np.ndarray,
    columns: np.ndarray,
    y_true: np.ndarray,
    local: Local,
    draw: tuple[int, int, int],
) -> np.ndarray:
    """Return the weights (columns,) after local epochs of stochastic gradient descent.

    `draw` is seed, client and round. They seed the order of the rows (rows, columns), which is
    therefore the same wherever this runs.
    """
    rng = np.random.default_rng(draw)
    start, now = weights, weights.astype(np.float64)
    for _ in range(local.epochs):
        order = rng.permutation(len(y_true))
        for place in range(0, len(order), local.batch):
            rows = order[place : place + local.batch]
            off = sigmoid(columns[rows] @ now) - y_true[rows]
            now = now - local.rate * (off @ columns[rows] / len(rows) + local.pull * (now - start))
    return now


def average(updates: list[np.ndarray], rows: list[int]) -> np.ndarray:
    """Return the average of the clients' weights by their numbers of rows.

    FedAvg (McMahan et al. 2017).
    """
    return np.asarray(np.average(np.stack(updates), axis=0, weights=np.array(rows, dtype=float)))


def private_sum(
    updates: list[np.ndarray], clip: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the sum of changes, each clipped to length `clip`, with added Gaussian noise.

    The noise has a standard deviation of `noise` times `clip`. No client moves the sum by more than
    `clip`, so the noise hides whether a client took part (McMahan et al., "Learning differentially
    private recurrent language models", 2018).
    """
    clipped = [each * min(1.0, clip / max(float(np.linalg.norm(each)), 1e-12)) for each in updates]
    return np.asarray(np.sum(clipped, axis=0) + rng.normal(0, noise * clip, len(updates[0])))
