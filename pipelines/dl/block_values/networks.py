"""Networks from a block's eight numbers to its value and the ends of an interval."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan

from .model import FIELDS

WIDTH = 128
# Waves by which each number is described, and the spread of their frequencies.
WAVES, SPREAD = 16, 0.5
# The shares of values below the two ends of the interval.
MISSED = 0.05


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    hidden: bool = True
    """Without, it is linear regression."""
    scaled: bool = True
    """Numbers are first moved and scaled to mean 0 and deviation 1."""
    huber: bool = False
    """Large errors count by their size, not by their square."""
    waves: bool = False
    """Each number is described by sine waves of learned frequencies."""


# From the simplest to the most complex.
RECIPES = {
    "baseline": Recipe(hidden=False),
    "unscaled": Recipe(scaled=False),
    "unscaled_huber": Recipe(scaled=False, huber=True),
    "scaled": Recipe(),
    "huber": Recipe(huber=True),
    "waves": Recipe(waves=True),
    "waves_huber": Recipe(waves=True, huber=True),
}


@dataclass(frozen=True)
class Scale:
    """Mean and deviation (8,) of the numbers of the training rows."""

    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def from_rows(cls, numbers: torch.Tensor) -> "Scale":
        return cls(numbers.mean(dim=0), numbers.std(dim=0))


class Standardized(nn.Module):
    """Moves and scales numbers, as the first layer, so that callers send them as they are."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.register_buffer("mean", scale.mean)
        self.register_buffer("deviation", scale.deviation)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the scaled numbers (rows, 8)."""
        scaled: torch.Tensor = (numbers - self.mean) / self.deviation
        return scaled


class Waves(nn.Module):
    """Describes each number by sines and cosines, so that small differences of it can matter.

    Gorishniy, Rubachev and Babenko, On embeddings for numerical features (2022).
    """

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(SPREAD * torch.randn(len(FIELDS), WAVES))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the numbers with their waves (rows, 8 + 8 * 32)."""
        angles = (2 * math.pi * numbers[:, :, None] * self.frequencies).flatten(1)
        return torch.cat([numbers, angles.sin(), angles.cos()], dim=1)


class ValueNetwork(nn.Module):
    """Two hidden layers, then the value and its distances to the ends of the interval.

    No softmax or other bound at the output: a value is any number.
    """

    def __init__(self, recipe: Recipe, scale: Scale) -> None:
        super().__init__()
        first = [Standardized(scale)] if recipe.scaled else []
        waves = [Waves()] if recipe.waves else []
        inputs = len(FIELDS) * (1 + 2 * WAVES) if recipe.waves else len(FIELDS)
        layers: list[nn.Module] = [nn.Linear(inputs, WIDTH), nn.SiLU()]
        layers += [nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 3)]
        self.layers = nn.Sequential(*first, *waves, *layers)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return value, low and high (rows, 3) in 100,000 dollars."""
        value, below, above = self.layers(numbers).split(1, dim=1)
        low, high = value - functional.softplus(below), value + functional.softplus(above)
        return torch.cat([value, low, high], dim=1)


class LinearRegression(nn.Module):
    """Linear regression by least squares, with the interval that its errors give all rows."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.scale, self.linear = Standardized(scale), nn.Linear(len(FIELDS), 1)
        self.register_buffer("ends", torch.zeros(2))

    def fit(self, numbers: torch.Tensor, values: torch.Tensor) -> "LinearRegression":
        """Solve for the weights; nothing is learned step by step."""
        scaled = self.scale(numbers).double().numpy()
        columns = np.column_stack([scaled, np.ones(len(scaled))])
        found = np.linalg.lstsq(columns, values.double().numpy(), rcond=None)[0]
        errors = values.double().numpy() - columns @ found
        ends = np.quantile(errors, [MISSED, 1 - MISSED])
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(found[None, :-1]))
            self.linear.bias.copy_(torch.from_numpy(found[-1:]))
            self.ends.copy_(torch.from_numpy(ends))  # type: ignore[operator]
        return self

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return value, low and high (rows, 3) in 100,000 dollars."""
        value = self.linear(self.scale(numbers))
        return torch.cat([value, value + self.ends[:1], value + self.ends[1:]], dim=1)


def loss_of(outputs: torch.Tensor, values: torch.Tensor, *, huber: bool) -> torch.Tensor:
    """Return the loss of the value plus that of both ends.

    The ends have the pinball loss (Koenker and Bassett 1978), which is least if one value in
    twenty lies outside on each side. They are measured from the value without moving it.
    """
    value, low, high = outputs.split(1, dim=1)
    target = values[:, None]
    # Beyond one deviation of the values, 115,000 dollars, an error counts by its size.
    error = functional.huber_loss(value, target, delta=1.0) if huber else None
    if error is None:
        error = functional.mse_loss(value, target)
    fixed = value.detach()
    ends = pinball(fixed + (low - value), target, MISSED)
    return error + ends + pinball(fixed + (high - value), target, 1 - MISSED)


def pinball(quantile: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
    """Return the mean pinball loss of a quantile below which a share of the targets should lie."""
    difference = target - quantile
    return torch.maximum(share * difference, (share - 1) * difference).mean()


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters; gradients of unscaled numbers are cut to bear the same rate."""
    return Plan(epochs, 0.003, "one_cycle", batch=128, weight_decay=0.01, clip=1.0)
