"""Compare a convolutional network with a linear one."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.augmentation import shifted
from slipway.kits.image_classification.study import PictureStudy
from slipway.training import Fitted, LabelledRows

from .model import LABELS, Digit, Picture


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    convolutions: bool = True
    shift: bool = False


# From the simplest to the most complex.
RECIPES = {
    "baseline": Recipe(convolutions=False),
    "cnn": Recipe(),
    "cnn_shift": Recipe(shift=True),
}


def network(recipe: Recipe) -> nn.Module:
    """Return an untrained network from brightness (rows, 1, 8, 8) to one number per label."""
    if not recipe.convolutions:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, len(LABELS)))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 16, len(LABELS)),
    )


def augment(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Move the pictures at random, if the recipe does."""
    return shifted(images) if recipe.shift else images


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.01, "one_cycle", batch=64, weight_decay=0.01)


def fit(
    *, train: LabelledRows[Picture, str], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a recipe by its accuracy on held-out rows; then train it on all pictures."""
    study = PictureStudy(Digit, network, weights=weights, seed=seed, augment=augment, plan=plan)
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    return study.refit_best(train)
