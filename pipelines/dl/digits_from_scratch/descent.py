"""Gradient descent in NumPy: plain, with momentum, and Adam, on mini-batches or on all rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .network import DenseNetwork, cross_entropy

Arrays = list[np.ndarray]


class Optimizer(Protocol):
    """Changes parameters in place, given their gradients."""

    def step(self, parameters: Arrays, gradients: Arrays) -> None: ...


class Momentum:
    """Stochastic gradient descent whose steps keep a share of the one before (Polyak 1964).

    With `kept=0` it is plain gradient descent.
    """

    def __init__(self, rate: float, kept: float = 0.0) -> None:
        self.rate, self.kept = rate, kept
        self._velocity: Arrays = []

    def step(self, parameters: Arrays, gradients: Arrays) -> None:
        self._velocity = self._velocity or [np.zeros_like(each) for each in parameters]
        for values, gradient, velocity in zip(parameters, gradients, self._velocity, strict=True):
            velocity *= self.kept
            velocity += gradient
            values -= self.rate * velocity


class Adam:
    """Steps scaled by the mean and mean square of past gradients (Kingma and Ba 2015)."""

    def __init__(self, rate: float, first: float = 0.9, second: float = 0.999) -> None:
        self.rate, self.decay = rate, (first, second)
        self._steps = 0
        self._means: tuple[Arrays, Arrays] = ([], [])

    def step(self, parameters: Arrays, gradients: Arrays) -> None:
        if not self._steps:
            self._means = (
                [np.zeros_like(each) for each in parameters],
                [np.zeros_like(each) for each in parameters],
            )
        self._steps += 1
        first, second = self.decay
        # The means begin at zero: these factors take away the bias.
        whole, whole_square = 1 - first**self._steps, 1 - second**self._steps
        rows = zip(parameters, gradients, *self._means, strict=True)
        for values, gradient, mean, square in rows:
            mean += (1 - first) * (gradient - mean)
            square += (1 - second) * (gradient**2 - square)
            values -= self.rate * (mean / whole) / (np.sqrt(square / whole_square) + 1e-8)


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    activation: str = "relu"
    hidden: tuple[int, ...] = (128,)
    optimizer: str = "sgd"
    rate: float = 0.1
    batch: int = 64
    """Rows of a step; 0 is all of them."""
    initial: str = ""

    def network(self, inputs: int, classes: int, seed: int) -> DenseNetwork:
        """Return the untrained network of this recipe."""
        sizes = (inputs, *self.hidden, classes)
        generator = np.random.default_rng(seed)
        return DenseNetwork.random(sizes, self.activation, generator, initial=self.initial)

    def steps(self) -> Optimizer:
        """Return the optimizer in its initial state."""
        if self.optimizer == "adam":
            return Adam(self.rate)
        return Momentum(self.rate, {"sgd": 0.0, "momentum": 0.9}[self.optimizer])


def batches(rows: int, size: int, generator: np.random.Generator) -> Arrays:
    """Return the row indices of one epoch in random order, in batches; `size` 0 is one batch."""
    order = generator.permutation(rows)
    size = size or rows
    return [order[start : start + size] for start in range(0, rows, size)]


def descend(
    network: DenseNetwork,
    inputs: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    after_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> list[float]:
    """Train the network in place; return the loss of every batch before its step."""
    optimizer, generator, losses = recipe.steps(), np.random.default_rng(seed), []
    for epoch in range(1, epochs + 1):
        seen = 0.0
        for rows in batches(len(inputs), recipe.batch, generator):
            outputs = network.forward(inputs[rows])
            losses.append(cross_entropy(outputs[-1], labels[rows]))
            optimizer.step(network.parameters, network.backward(outputs, labels[rows]))
            seen += losses[-1] * len(rows)
        if not np.isfinite(seen):
            raise ValueError(f"the loss is not finite after epoch {epoch}: lower the learning rate")
        after_epoch(epoch, seen / len(inputs))
    return losses
