"""Compare a network with a linear model, and with the last day alone."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.forecasting.study import ForecastStudy
from slipway.training import Fitted, LabelledRows

from .model import AHEAD, PAST, Weeks, features, weeks


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    last_alone: bool = False
    hidden: int = 0


# From the simplest to the most complex.
RECIPES = {"baseline": Recipe(last_alone=True), "linear": Recipe(), "network": Recipe(hidden=32)}


class Forecast(nn.Module):
    """The last temperature plus what the layers add to it; numbers are (rows, 30)."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.last_alone = recipe.last_alone
        inputs = 1 if recipe.last_alone else PAST + 2
        hidden = [nn.Linear(inputs, recipe.hidden), nn.ReLU()] if recipe.hidden else []
        self.layers = nn.Sequential(*hidden, nn.Linear(recipe.hidden or inputs, AHEAD))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        last = numbers[:, PAST - 1 : PAST]
        change: torch.Tensor = self.layers(last if self.last_alone else numbers)
        return 10 * (last + change)


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.01, "one_cycle", batch=32, weight_decay=0.01)


def fit(
    *, train: LabelledRows[Weeks, list[float]], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a recipe by its error on the last rows; then train it on all rows."""
    study = ForecastStudy(features, weeks, Forecast, weights=weights, seed=seed, plan=plan)
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    return study.refit_best(train)
