"""Training of a network built up in four steps, each step compared with the one before.

The simplest recipe within one standard error of the best accuracy is trained on all pictures. Two
recipes are also trained on the digits of MNIST, to show how much easier those are.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.augmentation import mirrored, shifted
from slipway.kits.classes import ClassRecord
from slipway.kits.image_classification.study import PictureStudy
from slipway.training import Fitted, LabelledRows, labelled_rows

from .data import DIGITS
from .model import LABELS, SIDE, Category, Garment


@dataclass(frozen=True)
class Recipe:
    """The steps that one candidate takes; each differs from the one before in one field."""

    convolutions: bool = True
    batch_norm: bool = False
    one_cycle: bool = False
    flip: bool = False
    shift: bool = False
    width: int = 16
    """Channels of the first convolution; the second has twice as many, the others four times."""


# From the simplest to the most complex: a simpler recipe has fewer of the steps.
RECIPES = {
    "baseline": Recipe(convolutions=False),
    "cnn": Recipe(),
    "batch_norm": Recipe(batch_norm=True),
    "one_cycle": Recipe(batch_norm=True, one_cycle=True),
    "flip": Recipe(batch_norm=True, one_cycle=True, flip=True),
    "flip_shift": Recipe(batch_norm=True, one_cycle=True, flip=True, shift=True),
}
# Trained on the digits too. Both without augmentation: a mirrored 3 is not a digit.
COMPARED = ("baseline", "one_cycle")


class Digit(ClassRecord, labels=DIGITS):
    """The most probable digit, in the comparison."""


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return a constant rate of 0.001, Adam's usual one, or a cycle with ten times that."""
    if recipe.one_cycle:
        return Plan(epochs, 0.01, "one_cycle", weight_decay=0.05)
    return Plan(epochs, 0.001, weight_decay=0.05)


def augment(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Mirror and move the pictures at random; a shoe that points right is still a shoe."""
    if recipe.flip:
        images = mirrored(images)
    return shifted(images) if recipe.shift else images


def network(recipe: Recipe) -> nn.Sequential:
    """Return a network of four convolutions, or a linear model of the pixels to compare with.

    28x28 is pooled to 14x14 after the first layer, where a channel costs most, and to 7x7 after
    the second; the fourth layer sees 26x26 of the original pixels.
    """
    if not recipe.convolutions:
        return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, len(LABELS)))
    narrow, middle, wide = recipe.width, 2 * recipe.width, 4 * recipe.width
    layers = nn.Sequential(
        *convolution(1, narrow, recipe.batch_norm, pooled=True),
        *convolution(narrow, middle, recipe.batch_norm, pooled=True),
        *convolution(middle, wide, recipe.batch_norm),
        *convolution(wide, wide, recipe.batch_norm),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(wide * 7 * 7, len(LABELS)),
    )
    # The channels of a pixel side by side in memory: 1.27 times as many pictures a second.
    return layers.to(memory_format=torch.channels_last)


def convolution(
    inputs: int, outputs: int, batch_norm: bool, *, pooled: bool = False
) -> list[nn.Module]:
    """Return the layers of one convolution; `pooled` halves the sides of the picture.

    Batch normalization subtracts the mean, so a bias before it would have no effect. The pixels are
    pooled before it, which leaves a quarter of them to it and to the ReLU.
    """
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=not batch_norm)]
    pool = [nn.MaxPool2d(2)] if pooled else []
    return [*layers, *pool, *([nn.BatchNorm2d(outputs)] if batch_norm else []), nn.ReLU()]


def fit(
    *,
    train: LabelledRows[Garment, str],
    weights: Path,
    seed: int,
    held_out: int,
    subset: int,
    epochs: int,
    width: int = 16,
) -> Fitted:
    """Choose a recipe by its accuracy on held-out rows; then train it on all pictures."""
    recipes = {name: replace(recipe, width=width) for name, recipe in RECIPES.items()}
    study, digits = (
        PictureStudy(kind, network, weights=weights, seed=seed, augment=augment, plan=plan)
        for kind in (Category, Digit)
    )
    study.compare(train, recipes, held_out=held_out, subset=subset, epochs=epochs)
    # The stage passes only `train`; `prepare` wrote the digits to the same folder.
    rows = labelled_rows.read(weights.parent / "data" / "digits.parquet", Garment)
    compared = {name: recipes[name] for name in COMPARED}
    for each in digits.compare(rows, compared, held_out=held_out, subset=subset, epochs=epochs):
        study.add_metrics(each.name, {"digits_accuracy": each.metrics["accuracy"]})
    return study.refit_best(train)
