"""Training of a network built up in four steps, each step compared with the one before.

The simplest recipe within one standard error of the best accuracy is trained on all pictures. Two
recipes are also trained on the digits of MNIST, to show how much easier those are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan, deterministic, export_onnx, predict, train
from slipway.training import Candidate, Fitted, LabelledRows, labelled_rows
from slipway.training.selection import simplest_within_error

from .augmentation import augmented
from .data import DIGITS
from .metrics import metrics
from .model import LABELS, SIDE, Category, Garment, categories, features


@dataclass(frozen=True)
class Recipe:
    """The steps that one candidate takes; each differs from the one before in one field."""

    convolutions: bool = True
    batch_norm: bool = False
    one_cycle: bool = False
    flip: bool = False
    shift: bool = False

    def plan(self, epochs: int) -> Plan:
        """Return a constant rate of 0.001, Adam's usual one, or a cycle with ten times that."""
        if self.one_cycle:
            return Plan(epochs, 0.01, "one_cycle", weight_decay=0.05)
        return Plan(epochs, 0.001, weight_decay=0.05)


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


@dataclass(frozen=True)
class Pictures:
    """Brightness (rows, 1, 28, 28) and label numbers (rows,)."""

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def from_rows(cls, rows: LabelledRows[Garment, str], names: Sequence[str]) -> "Pictures":
        images = torch.from_numpy(features(rows.records)["images"])
        return cls(images, torch.tensor([names.index(label) for label in rows.labels]))

    def split(self, held_out: int, subset: int, seed: int) -> tuple["Pictures", "Pictures"]:
        """Return at most `subset` pictures to train on, and `held_out` others to validate on."""
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(seed))
        parts = (order[held_out : held_out + subset], order[:held_out])
        train, validation = (Pictures(self.images[rows], self.labels[rows]) for rows in parts)
        return train, validation


def network(recipe: Recipe) -> nn.Sequential:
    """Return a network of four convolutions, or a linear model of the pixels to compare with.

    28x28 is pooled to 14x14 after the first layer, where a channel costs most, and to 7x7 after
    the second; the fourth layer sees 26x26 of the original pixels.
    """
    if not recipe.convolutions:
        return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, len(LABELS)))
    return nn.Sequential(
        *convolution(1, 16, recipe.batch_norm),
        nn.MaxPool2d(2),
        *convolution(16, 32, recipe.batch_norm),
        nn.MaxPool2d(2),
        *convolution(32, 64, recipe.batch_norm),
        *convolution(64, 64, recipe.batch_norm),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 7 * 7, len(LABELS)),
    )


def convolution(inputs: int, outputs: int, batch_norm: bool) -> list[nn.Module]:
    """Return the layers of one convolution.

    Batch normalization subtracts the mean, so a bias before it would have no effect.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=not batch_norm)
    ]
    if batch_norm:
        layers.append(nn.BatchNorm2d(outputs))
    return [*layers, nn.ReLU()]


def train_network(
    recipe: Recipe, pictures: Pictures, validation: Pictures | None, epochs: int, seed: int
) -> tuple[nn.Module, dict[str, list[float]]]:
    """Train a network; return it and its curves, with `accuracy` if `validation` is given."""
    deterministic(seed)
    # Channels last takes a quarter less time on CPUs than torch's usual order.
    module = network(recipe).to(memory_format=torch.channels_last)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        images = augmented(pictures.images[batch], flip=recipe.flip, shift=recipe.shift)
        images = images.contiguous(memory_format=torch.channels_last)
        return functional.cross_entropy(module(images), pictures.labels[batch])

    def measure() -> dict[str, float]:
        return {"accuracy": validate(module, validation)["accuracy"]} if validation else {}

    rows = len(pictures.labels)
    return module, train(module, rows, loss, recipe.plan(epochs), seed=seed, measure=measure)


def validate(module: nn.Module, pictures: Pictures) -> dict[str, float]:
    """Return the metrics of the network on `pictures`."""
    y_prob = predict(module, pictures.images).softmax(dim=1).numpy()
    return metrics(y_prob, pictures.labels.numpy())


def accuracy_error(metrics: dict[str, float], rows: int) -> dict[str, float]:
    """Return the standard error of an accuracy, which is a share of `rows`."""
    accuracy = metrics["accuracy"]
    return {"accuracy_se": float(np.sqrt(accuracy * (1 - accuracy) / rows))}


def fit(
    *,
    train: LabelledRows[Garment, str],
    weights: Path,
    seed: int,
    held_out: int,
    subset: int,
    epochs: int,
) -> Fitted:
    """Choose a recipe by its accuracy on held-out rows; then train it on all pictures."""
    garments = Pictures.from_rows(train, LABELS)
    parts = garments.split(held_out, subset, seed)
    # The stage passes only `train`; `prepare` wrote the digits to the same folder.
    file = weights.parent / "data" / "digits.parquet"
    digits = Pictures.from_rows(labelled_rows.read(file, Garment), DIGITS)
    digit_parts = digits.split(held_out, subset, seed)
    tried = []
    for name, recipe in RECIPES.items():
        module, curves = train_network(recipe, *parts, epochs, seed)
        measured = validate(module, parts[1])
        if name in COMPARED:
            module, _ = train_network(recipe, *digit_parts, epochs, seed)
            measured["digits_accuracy"] = validate(module, digit_parts[1])["accuracy"]
        measured |= accuracy_error(measured, len(parts[1].labels))
        parameters = {"epochs": epochs, "rows": len(parts[0].labels), **asdict(recipe)}
        tried.append(Candidate(name, measured, parameters, curves))
    chosen = simplest_within_error(tried, "accuracy", best="highest").name
    best, _ = train_network(RECIPES[chosen], garments, None, epochs, seed)
    served = nn.Sequential(best, nn.Softmax(dim=1))
    export_onnx(served, {"images": garments.images[:2]}, ["probabilities"], weights)

    def framework_predict(garments: list[Garment]) -> list[Category]:
        images = torch.from_numpy(features(garments)["images"])
        return categories(predict(served, images).numpy())

    return Fitted(tried, chosen, framework_predict)
