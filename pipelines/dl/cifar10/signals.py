"""Strength of activations and gradients in each layer of an untrained network."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from slipway.deep import deterministic

from .network import Recipe, network

SEED = 1


@dataclass(frozen=True)
class Signals:
    """Values of each convolution, from the first to the last."""

    activations: list[float]
    """Standard deviation of what leaves the layer's ReLU."""
    gradients: list[float]
    """Standard deviation of the loss's gradient by the layer's weights."""


def signals(recipe: Recipe, images: torch.Tensor, labels: torch.Tensor) -> Signals:
    """Return the signals of one batch of brightness (rows, 3, height, width) in a new network."""
    deterministic(SEED)
    module = network(recipe)
    activations: list[float] = []

    def note(_: nn.Module, __: object, output: torch.Tensor) -> None:
        activations.append(float(output.detach().std()))

    for each in module.features.modules():
        if isinstance(each, nn.ReLU):
            each.register_forward_hook(note)
    functional.cross_entropy(module(images), labels).backward()
    weights = [each.weight for each in module.features.modules() if isinstance(each, nn.Conv2d)]
    return Signals(
        activations, [float(each.grad.std()) for each in weights if each.grad is not None]
    )
