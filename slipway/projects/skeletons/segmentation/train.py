"""Compare a threshold of the brightness with a small network of two scales."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan
from slipway.kits.segmentation.study import SegmentationStudy
from slipway.training import Fitted, LabelledRows

from .model import LABELS, Ink, Picture


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    channels: int


# From the simplest to the most complex. The baseline sees one pixel at a time.
RECIPES = {"baseline": Recipe(0), "two_scales": Recipe(12)}


class TwoScales(nn.Module):
    """A network that sees a picture and, for what is around a pixel, the picture in half size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(1, channels, 3, padding=1)
        self.far = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(2 * channels, len(LABELS) + 1, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        near = functional.relu(self.near(images))
        far = functional.relu(self.far(functional.max_pool2d(near, 2)))
        # Repeated, not interpolated: its gradient is deterministic on every device.
        wide = far.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        logits: torch.Tensor = self.last(torch.cat([near, wide], dim=1))
        return logits


def network(recipe: Recipe) -> nn.Module:
    """Return an untrained network from brightness (rows, 1, 64, 64) to numbers for each class."""
    if not recipe.channels:
        return nn.Conv2d(1, len(LABELS) + 1, 1)
    return TwoScales(recipe.channels)


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.02, "one_cycle", batch=16)


def fit(
    *, train: LabelledRows[Picture, Ink], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a recipe on held-out pictures; then train it on all pictures."""
    study = SegmentationStudy(Ink, LABELS, network, weights=weights, seed=seed, plan=plan)
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    return study.refit_best(train)
