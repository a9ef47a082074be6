"""Compare two detectors, one of them with more layers."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from slipway.deep import Plan
from slipway.kits.detection.study import DetectionStudy, detection_head
from slipway.training import Fitted, LabelledRows

from .model import LABELS, STRIDE, Digits, Picture, decode


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    layers: int


# From the simplest to the most complex.
RECIPES = {"baseline": Recipe(layers=0), "deep": Recipe(layers=3)}
CHANNELS = 48


def network(recipe: Recipe) -> nn.Module:
    """Return an untrained network that makes a picture smaller by `STRIDE`."""
    layers = [*convolution(3, 16, stride=2), *convolution(16, CHANNELS, stride=2)]
    for _ in range(recipe.layers):
        layers += convolution(CHANNELS, CHANNELS)
    return nn.Sequential(*layers, detection_head(CHANNELS, len(LABELS)))


def convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """Return the layers of one convolution with batch normalization."""
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.01, "one_cycle", batch=16, weight_decay=0.01)


def fit(
    *, train: LabelledRows[Picture, Digits], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a recipe by its precision on held-out pictures; then train it on all pictures."""
    study = DetectionStudy(
        LABELS, network, decode, stride=STRIDE, weights=weights, seed=seed, plan=plan
    )
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    return study.refit_best(train)
