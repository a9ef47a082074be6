"""The networks that are compared, and how their pictures are changed in training."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan

from .model import LABELS


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    kind: str = "cnn"
    dropout: bool = False
    """Half of the hidden units are left out at random in each step (Srivastava et al. 2014)."""
    turn: bool = False
    """Pictures are turned, sheared, scaled and moved a little in each step."""


# From the simplest to the most complex.
RECIPES = {
    "baseline": Recipe("linear"),
    "mlp": Recipe("mlp"),
    "mlp_dropout": Recipe("mlp", dropout=True),
    "cnn": Recipe("cnn"),
    "cnn_dropout": Recipe("cnn", dropout=True),
    "cnn_dropout_turn": Recipe("cnn", dropout=True, turn=True),
}


def network(recipe: Recipe) -> nn.Sequential:
    """Return an untrained network from brightness (rows, 1, 28, 28) to one score per digit.

    28x28 is pooled to 14x14 and 7x7; a unit of the last map sees 14x14 of the original pixels.
    """
    dropout = [nn.Dropout(0.5)] if recipe.dropout else []
    if recipe.kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, len(LABELS)))
    if recipe.kind == "mlp":
        body: list[nn.Module] = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU()]
        return nn.Sequential(*body, *dropout, nn.Linear(256, len(LABELS)))
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 128),
        nn.ReLU(),
        *dropout,
        nn.Linear(128, len(LABELS)),
    )


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters: one cycle of the learning rate up to three times Adam's usual."""
    return Plan(epochs, 0.003, "one_cycle", batch=64 if recipe.kind == "cnn" else 128)


def augment(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Change the pictures at random, if the recipe does."""
    return turned(images) if recipe.turn else images


def turned(images: torch.Tensor) -> torch.Tensor:
    """Turn by up to 12 degrees, slant by 0.15, scale by 10 % and move by 1.5 pixels, at random."""
    count = len(images)
    angle, slant, scale, down, right = 2 * torch.rand(5, count) - 1
    angle = angle * math.radians(12)
    scale, slant = 1 + 0.1 * scale, 0.15 * slant
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # In grid_sample's units a picture of 28 pixels is 2 wide.
    move = 1.5 / 14
    first = torch.stack([cos, slant - sin, move * right], dim=1)
    second = torch.stack([sin, cos, move * down], dim=1)
    grid = functional.affine_grid(
        torch.stack([first, second], dim=1), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)


def restored(file: Path, recipe: Recipe) -> nn.Sequential:
    """Return the network of an exported graph as a torch module."""
    import onnx
    from onnx import numpy_helper

    held = {
        each.name.removeprefix("0."): torch.from_numpy(numpy_helper.to_array(each).copy())
        for each in onnx.load(file).graph.initializer
    }
    module = network(recipe)
    module.load_state_dict({name: held[name] for name in module.state_dict()})
    return module.eval()
