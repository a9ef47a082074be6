"""Overfitting shown and cured step by step: augmentation, dropout, weight decay, early stopping.

The simplest candidate within one standard error of the lowest validation loss is trained on all
training photographs.
"""

from pathlib import Path

import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.image_classification.pooled import PooledClassifier
from slipway.kits.pixel_baseline import linear_candidate
from slipway.training import Fitted, LabelledRows

from .augmentation import changed
from .model import LABELS, Pet, PetPhoto
from .stopping import Recipe, StoppingStudy

# The baseline gets 16 x 16 parts of a picture.
CELLS = 16


def recipes(plain: int, augmented: int, regularized: int) -> dict[str, Recipe]:
    """Return the recipes, from the simplest to the most complex, given the epochs of each.

    The more a training is hindered from learning by heart, the longer it goes on learning.
    """
    return {
        "plain": Recipe(plain, stops=True),
        "augmented": Recipe(augmented, augmented=True),
        "regularized": Recipe(
            regularized,
            augmented=True,
            dropout=0.3,
            weight_decay=0.1,
            falling_rate=True,
            stops=True,
        ),
    }


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return a constant learning rate, Adam's usual one, or one that rises and then falls to 0."""
    if recipe.falling_rate:
        return Plan(epochs, 0.004, "one_cycle", batch=64, weight_decay=recipe.weight_decay)
    return Plan(epochs, 0.001, batch=64, weight_decay=recipe.weight_decay)


def augment(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    return changed(images) if recipe.augmented else images


def network(recipe: Recipe, width: int = 24) -> nn.Module:
    """Return five convolutions with fewer places and more channels from one to the next.

    64x64 becomes 32x32 at once, since places cost most where there are many. The last layer has 4x4
    places, each of which sees nearly the whole picture; their mean decides.
    """
    features = nn.Sequential(
        *convolution(3, width, size=5, stride=2),
        *convolution(width, 2 * width),
        nn.MaxPool2d(2),
        *convolution(2 * width, 4 * width),
        nn.MaxPool2d(2),
        *convolution(4 * width, 6 * width),
        nn.MaxPool2d(2),
        *convolution(6 * width, 6 * width),
    )
    return PooledClassifier(features, 6 * width, len(LABELS), recipe.dropout)


def convolution(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """Return the layers of one convolution; the normalization after it has its own bias."""
    return [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def fit(
    *,
    train: LabelledRows[PetPhoto, str],
    weights: Path,
    seed: int,
    held_out: int,
    epochs: dict[str, int],
) -> Fitted:
    """Choose a candidate by its loss on held-out rows; then train it on all photographs."""
    study = StoppingStudy(Pet, network, weights=weights, seed=seed, augment=augment, plan=plan)
    learned, validation = study.split(study.tensors(train), held_out)
    baseline = linear_candidate(Pet, learned.rows, validation.rows, CELLS)
    study.compare_stopping(train, recipes(**epochs), held_out=held_out)
    return study.refit_best(train, references=[baseline])
