"""A network in four steps, each judged on its own; and how much easier the digits of MNIST are."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, f1_score, log_loss
from torch import nn
from torch.nn import functional

from slipway.deep import Plan, deterministic, export_onnx, predict, train
from slipway.training import Candidate, Evaluation, Examples, Fitted, examples, plots

from .data import DIGITS
from .model import LABELS, SIDE, Category, Garment, categories, features, pixels

BINS = 15


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


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Each picture moved by up to one pixel either way; the border is filled with black."""
    rows = torch.arange(len(images))
    down, right = torch.randint(0, 3, (2, len(images)))
    padded = functional.pad(images, (1, 1, 1, 1))
    windows = padded.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    return windows[rows, :, down, right]


def flipped(images: torch.Tensor) -> torch.Tensor:
    """Half of the pictures mirrored: a shoe that points right is still a shoe."""
    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def augmented(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    if recipe.flip:
        images = flipped(images)
    return shifted(images) if recipe.shift else images


def trained(
    recipe: Recipe, pictures: Pictures, judged: Pictures | None, epochs: int, seed: int
) -> tuple[nn.Module, dict[str, list[float]]]:
    """The network, and its curves; `accuracy` among them where there are pictures to judge by."""
    deterministic(seed)
    # Channels last takes a quarter less time on CPUs than torch's usual order.
    module = network(recipe).to(memory_format=torch.channels_last)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        images = augmented(pictures.images[batch], recipe)
        images = images.contiguous(memory_format=torch.channels_last)
        return functional.cross_entropy(module(images), pictures.labels[batch])

    def measure() -> dict[str, float]:
        return {"accuracy": figures(module, judged)["accuracy"]} if judged else {}

    rows = len(pictures.labels)
    return module, train(module, rows, loss, recipe.plan(epochs), seed=seed, measure=measure)


def figures(module: nn.Module, judged: Pictures) -> dict[str, float]:
    probabilities = predict(module, judged.images).softmax(dim=1).numpy()
    return metrics(probabilities, judged.labels.numpy())


def metrics(probabilities: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    told = probabilities.argmax(axis=1)
    # In float64: in float32 the rows sum to 1 only to 7 digits, which scikit-learn warns of.
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(truths, told)),
        "macro_f1": float(f1_score(truths, told, average="macro", zero_division=0.0)),
        "log_loss": float(log_loss(truths, exact, labels=range(len(LABELS)))),
        "calibration_error": calibration_error(probabilities.max(axis=1), told == truths),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: how far confidence lies from accuracy, over 15 equal bins."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


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
        parameters = {"epochs": epochs, "rows": len(parts[0].labels), **asdict(recipe)}
        tried.append(Candidate(name, measured, parameters, curves))
    chosen = max(tried, key=lambda each: each.metrics["accuracy"]).name
    best, _ = trained(RECIPES[chosen], garments, None, epochs, seed)
    answering = nn.Sequential(best, nn.Softmax(dim=1))
    export_onnx(answering, {"images": garments.images[:2]}, ["probabilities"], weights)

    def native(garments: list[Garment]) -> list[Category]:
        images = torch.from_numpy(features(garments)["images"])
        return categories(predict(answering, images).numpy())

    return Fitted(tried, chosen, native)


def score(*, answers: list[Category], truths: list[str]) -> dict[str, float]:
    probabilities = np.array([[each.probabilities[label] for label in LABELS] for each in answers])
    return metrics(probabilities, np.array([LABELS.index(truth) for truth in truths]))


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (left, right) = plots.panels(2)
    plots.curves(left, evaluation.candidates, "accuracy", "Accuracy on rows held out")
    learning_rates(right, evaluation.candidates)
    yield "learning_curves", figure
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    told = [each.label for each in evaluation.answers]
    plots.confusion(axes, evaluation.test.truths, told, LABELS)
    yield "confusion", figure
    yield "mistakes", mistakes(evaluation)
    yield "augmentation", variants(evaluation.train.head(6))
    figure, axes = plt.subplots(figsize=(6.0, 3.4))
    difficulty(axes, evaluation.candidates)
    yield "digits", figure


def learning_rates(axes: Axes, tried: Sequence[Candidate]) -> None:
    """Two recipes that share a schedule share a line, so one of each is drawn."""
    lines = {"one cycle" if each.parameters["one_cycle"] else "constant": each for each in tried}
    named = [replace(each, name=name) for name, each in lines.items()]
    plots.curves(axes, named, "learning_rate", "Learning rate as each epoch starts")


def difficulty(axes: Axes, tried: Sequence[Candidate]) -> None:
    """Errors rather than accuracies: next to 99 % and 91 % the difference would not show."""
    compared = [each for each in tried if "digits_accuracy" in each.metrics]
    errors = {
        kind: [100 * (1 - each.metrics[metric]) for each in compared]
        for kind, metric in (("MNIST", "digits_accuracy"), ("Fashion-MNIST", "accuracy"))
    }
    title = "The same network and budget on digits and garments"
    names, colours = [each.name for each in compared], (plots.PALE, plots.ACCENT)
    drawn = plots.bars(axes, names, errors, title, colours=colours)
    for bars, values in zip(drawn, errors.values(), strict=True):
        axes.bar_label(bars, [f"{each:.1f} %\n({100 - each:.1f} % right)" for each in values])
    axes.set_ylabel("errors on rows held out (%)")
    axes.legend(loc="upper right")


def mistakes(evaluation: Evaluation, rows: int = 3, columns: int = 7) -> Figure:
    """The wrong answers of the test rows of which the model was surest."""
    wrong = [
        (answer, truth, record)
        for answer, (record, truth) in zip(evaluation.answers, evaluation.test, strict=True)
        if answer.label != truth
    ]
    surest = sorted(wrong, key=lambda each: -each[0].probability)[: rows * columns]
    figure, grid = plt.subplots(rows, columns, figsize=(1.3 * columns, 1.65 * rows + 0.4))
    for axes in grid.flat:
        axes.axis("off")
    for axes, (answer, truth, record) in zip(grid.flat, surest, strict=False):
        axes.imshow(pixels(record.image), cmap="gray", vmin=0, vmax=255)
        said = f"{answer.label} {answer.probability:.3f}\nis {truth}"
        axes.set_title(said, size=7.5, weight="normal", loc="center")
    figure.suptitle("Wrong and surest of it (test rows): answer, probability, truth")
    return figure


def variants(shown: Examples[Garment, str], count: int = 7) -> Figure:
    """Each garment as it is, left, and as training may see it in further epochs."""
    images = torch.from_numpy(features(shown.records)["images"])
    torch.manual_seed(0)
    columns = [images, *(augmented(images, RECIPES["flip_shift"]) for _ in range(count))]
    figure, grid = plt.subplots(len(shown), count + 1, figsize=(count + 1, len(shown) + 0.4))
    for column, batch in enumerate(columns):
        for row, image in enumerate(batch):
            grid[row, column].imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
            grid[row, column].axis("off")
    grid[0, 0].set_title("as it is", loc="center", size=8, weight="normal")
    figure.suptitle("Augmentation: mirrored by chance, moved by up to a pixel")
    return figure
