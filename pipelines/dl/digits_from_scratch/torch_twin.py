"""The same network in torch, from the same weights on the same batches, to compare with."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .descent import Recipe, batches
from .network import DenseNetwork


def twin_of(network: DenseNetwork) -> nn.Sequential:
    """Return a torch module with a copy of the network's weights."""
    modules: list[nn.Module] = []
    activation = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}[network.kind]
    for weights, bias in network.layers:
        layer = nn.Linear(*weights.shape)
        layer.weight = nn.Parameter(torch.from_numpy(weights.T.copy()))
        layer.bias = nn.Parameter(torch.from_numpy(bias.copy()))
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def optimizer_of(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """Return torch's optimizer with the recipe's settings."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(module.parameters(), lr=recipe.rate, fused=True)
    kept = {"sgd": 0.0, "momentum": 0.9}[recipe.optimizer]
    return torch.optim.SGD(module.parameters(), lr=recipe.rate, momentum=kept)


def descend_in_torch(
    module: nn.Module, inputs: np.ndarray, labels: np.ndarray, recipe: Recipe, *, seed: int
) -> list[float]:
    """Train the module for one epoch; return the loss of every batch before its step."""
    torch.set_num_threads(1)
    optimizer, generator = optimizer_of(recipe, module), np.random.default_rng(seed)
    pixels, numbers = torch.from_numpy(inputs), torch.from_numpy(labels)
    losses = []
    for rows in batches(len(inputs), recipe.batch, generator):
        chosen = torch.from_numpy(rows)
        loss = functional.cross_entropy(module(pixels[chosen]), numbers[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def torch_accuracy(module: nn.Module, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of the module."""
    with torch.inference_mode():
        y_pred = module(torch.from_numpy(inputs)).argmax(dim=1).numpy()
    return float(np.mean(y_pred == labels))
