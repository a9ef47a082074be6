"""What a client does with its rows, and a server with what clients send.

NumPy alone: Flower runs this file in an environment of its own, which holds nothing of Slipway.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Local:
    """How a client learns within a round."""

    epochs: int = 1
    batch: int = 32
    rate: float = 0.5
    pull: float = 0.0
    """FedProx's mu (Li et al. 2020): how strongly weights are drawn to the round's start."""


def sigmoid(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -60, 60))))


def learnt(
    weights: np.ndarray,
    columns: np.ndarray,
    truths: np.ndarray,
    local: Local,
    draw: tuple[int, int, int],
) -> np.ndarray:
    """Weights (columns,) after local epochs over (rows, columns), by stochastic gradient steps.

    `draw` is seed, client and round: the order of the rows is the same wherever this runs.
    """
    rng = np.random.default_rng(draw)
    start, now = weights, weights.astype(np.float64)
    for _ in range(local.epochs):
        order = rng.permutation(len(truths))
        for place in range(0, len(order), local.batch):
            rows = order[place : place + local.batch]
            off = sigmoid(columns[rows] @ now) - truths[rows]
            now = now - local.rate * (off @ columns[rows] / len(rows) + local.pull * (now - start))
    return now


def averaged(updates: list[np.ndarray], rows: list[int]) -> np.ndarray:
    """FedAvg (McMahan et al. 2017): clients' weights by their numbers of rows."""
    return np.asarray(np.average(np.stack(updates), axis=0, weights=np.array(rows, dtype=float)))


def private_sum(
    updates: list[np.ndarray], clip: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """The sum of changes, each cut to length `clip`, with Gaussian noise of `noise` times that.

    No client moves it by more than `clip`, so noise hides whether one took part (McMahan et al.,
    "Learning differentially private recurrent language models", 2018).
    """
    cut = [each * min(1.0, clip / max(float(np.linalg.norm(each)), 1e-12)) for each in updates]
    return np.asarray(np.sum(cut, axis=0) + rng.normal(0, noise * clip, len(updates[0])))
