"""Compare a blur that is learned with networks of several convolutions."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.generative.study import PictureToPictureStudy
from slipway.training import Fitted, LabelledRows

from .model import Clean, Noisy


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    layers: int


# From the simplest to the most complex.
RECIPES = {"baseline": Recipe(layers=0), "deep": Recipe(layers=2)}
CHANNELS = 16


class WithoutNoise(nn.Module):
    """The picture minus the noise that the layers find in it."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(recipe.layers):
            layers += [nn.Conv2d(channels, CHANNELS, 3, padding=1), nn.ReLU()]
            channels = CHANNELS
        self.noise = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        noise: torch.Tensor = self.noise(images)
        return images - noise


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.01, "one_cycle", batch=16)


def fit(
    *, train: LabelledRows[Noisy, Clean], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a recipe on held-out pictures; then train it on all pictures."""
    study = PictureToPictureStudy(
        Clean, WithoutNoise, channels=1, weights=weights, seed=seed, plan=plan
    )
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    return study.refit_best(train)
