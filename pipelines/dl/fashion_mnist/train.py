"""A network in four steps, each judged on its own; and how much easier the digits of MNIST are.

The simplest recipe within one standard error of the best accuracy is trained on all pictures.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan, deterministic, export_onnx, predict, train
from slipway.training import Candidate, Examples, Fitted, examples
from slipway.training.selection import simplest_within_error

from .augmentation import augmented
from .data import DIGITS
from .metrics import metrics
from .model import LABELS, SIDE, Category, Garment, categories, features


@dataclass(frozen=True)
class Recipe:
    """What one candidate does; each differs from the one before in one field."""

    convolutions: bool = True
    batch_norm: bool = False
    one_cycle: bool = False
    flip: bool = False
    shift: bool = False

    def plan(self, epochs: int) -> Plan:
        """Constant at Adam's usual 0.001, or up to ten times that at the top of the cycle."""
        if self.one_cycle:
            return Plan(epochs, 0.01, "one_cycle", weight_decay=0.05)
        return Plan(epochs, 0.001, weight_decay=0.05)


# From the simplest to the most complex: simpler is what needs fewer of the steps.
RECIPES = {
    "baseline": Recipe(convolutions=False),
    "cnn": Recipe(),
    "batch_norm": Recipe(batch_norm=True),
    "one_cycle": Recipe(batch_norm=True, one_cycle=True),
    "flip": Recipe(batch_norm=True, one_cycle=True, flip=True),
    "flip_shift": Recipe(batch_norm=True, one_cycle=True, flip=True, shift=True),
}
# Without augmentation: a mirrored 3 is no digit.
COMPARED = ("baseline", "one_cycle")


@dataclass(frozen=True)
class Pictures:
    """Brightness (rows, 1, 28, 28) and the number of each one's label."""

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, rows: Examples[Garment, str], names: Sequence[str]) -> "Pictures":
        images = torch.from_numpy(features(rows.records)["images"])
        return cls(images, torch.tensor([names.index(truth) for truth in rows.truths]))

    def split(self, held_out: int, subset: int, seed: int) -> tuple["Pictures", "Pictures"]:
        """At most `subset` to train on, and `held_out` others to judge by."""
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(seed))
        parts = (order[held_out : held_out + subset], order[:held_out])
        kept, judged = (Pictures(self.images[rows], self.labels[rows]) for rows in parts)
        return kept, judged


def network(recipe: Recipe) -> nn.Sequential:
    """Four convolutions, or for comparison a linear model of the pixels.

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
    """Batch normalization subtracts the mean, so a bias before it would have no effect."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=not batch_norm)
    ]
    if batch_norm:
        layers.append(nn.BatchNorm2d(outputs))
    return [*layers, nn.ReLU()]


def trained(
    recipe: Recipe, pictures: Pictures, judged: Pictures | None, epochs: int, seed: int
) -> tuple[nn.Module, dict[str, list[float]]]:
    """The network, and its curves; `accuracy` among them where there are pictures to judge by."""
    deterministic(seed)
    # Channels last takes a quarter less time on CPUs than torch's usual order.
    module = network(recipe).to(memory_format=torch.channels_last)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        images = augmented(pictures.images[batch], flip=recipe.flip, shift=recipe.shift)
        images = images.contiguous(memory_format=torch.channels_last)
        return functional.cross_entropy(module(images), pictures.labels[batch])

    def measure() -> dict[str, float]:
        return {"accuracy": figures(module, judged)["accuracy"]} if judged else {}

    rows = len(pictures.labels)
    return module, train(module, rows, loss, recipe.plan(epochs), seed=seed, measure=measure)


def figures(module: nn.Module, judged: Pictures) -> dict[str, float]:
    probabilities = predict(module, judged.images).softmax(dim=1).numpy()
    return metrics(probabilities, judged.labels.numpy())


def accuracy_error(metrics: dict[str, float], rows: int) -> dict[str, float]:
    """Return the standard error of an accuracy, which is a share of `rows`."""
    accuracy = metrics["accuracy"]
    return {"accuracy_se": float(np.sqrt(accuracy * (1 - accuracy) / rows))}


def fit(
    *,
    train: Examples[Garment, str],
    weights: Path,
    seed: int,
    held_out: int,
    subset: int,
    epochs: int,
) -> Fitted:
    """Choose by accuracy on rows held out of a subset; then fit the chosen on all."""
    garments = Pictures.of(train, LABELS)
    parts = garments.split(held_out, subset, seed)
    # The stages hand over `train` alone; the digits were written beside it.
    file = weights.parent / "data" / "digits.parquet"
    digits = Pictures.of(examples.read(file, Garment), DIGITS).split(held_out, subset, seed)
    tried = []
    for name, recipe in RECIPES.items():
        module, curves = trained(recipe, *parts, epochs, seed)
        measured = figures(module, parts[1])
        if name in COMPARED:
            module, _ = trained(recipe, *digits, epochs, seed)
            measured["digits_accuracy"] = figures(module, digits[1])["accuracy"]
        measured |= accuracy_error(measured, len(parts[1].labels))
        parameters = {"epochs": epochs, "rows": len(parts[0].labels), **asdict(recipe)}
        tried.append(Candidate(name, measured, parameters, curves))
    chosen = simplest_within_error(tried, "accuracy", best="highest").name
    best, _ = trained(RECIPES[chosen], garments, None, epochs, seed)
    answering = nn.Sequential(best, nn.Softmax(dim=1))
    export_onnx(answering, {"images": garments.images[:2]}, ["probabilities"], weights)

    def native(garments: list[Garment]) -> list[Category]:
        images = torch.from_numpy(features(garments)["images"])
        return categories(predict(answering, images).numpy())

    return Fitted(tried, chosen, native)
