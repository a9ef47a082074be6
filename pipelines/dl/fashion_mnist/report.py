"""Test metrics of the served predictions, and pictures of training and mistakes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.nn import functional

from slipway.datasets import fetch
from slipway.deep import deterministic, predict
from slipway.deep import train as descend
from slipway.kits.augmentation import mirrored, shifted
from slipway.kits.class_report import class_scores, confusion
from slipway.kits.image_classification.report import mistakes, variants
from slipway.kits.pixel_tensors import brightness
from slipway.kits.readers.idx import read_idx
from slipway.reporting import Evaluation, plots
from slipway.training import Candidate
from slipway.training.selection import bootstrap_interval

from .model import Category
from .train import RECIPES, network, plan

# The baseline is trained as in params.yaml.
SEED, EPOCHS = 7, 5


def score(*, predictions: list[Category], labels: list[str]) -> dict[str, float]:
    """Return the metrics, with the interval of the accuracy, and the linear network's accuracy."""
    metrics = class_scores(predictions, labels)
    right = np.array([each.label for each in predictions]) == labels
    # The unit is a picture: each shows another garment.
    low, high = bootstrap_interval(lambda rows: float(right[rows].mean()), len(right), seed=SEED)
    return {
        "accuracy": metrics.pop("accuracy"),
        "accuracy_low": low,
        "accuracy_high": high,
        "baseline_accuracy": baseline_accuracy(labels),
        **metrics,
    }


def baseline_accuracy(labels: list[str]) -> float:
    """Return the linear network's accuracy on the first test pictures, whose labels these are.

    It is trained on six pictures for each tested one: on all of them, like the served network, if
    all test pictures are scored. Predictions and labels alone are scored, so the pictures are read
    from the data set.
    """
    dataset = fetch("fashion_mnist")
    train = pixels(dataset.path("train-images-idx3-ubyte.gz"))[: 6 * len(labels)]
    tested = pixels(dataset.path("t10k-images-idx3-ubyte.gz"))[: len(labels)]
    numbers = read_idx(dataset.path("train-labels-idx1-ubyte.gz"))
    y_true = torch.from_numpy(numbers.astype(np.int64))
    deterministic(SEED)
    linear = network(RECIPES["baseline"])

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(linear(train[batch]), y_true[batch])

    descend(linear, len(train), loss, plan(RECIPES["baseline"], EPOCHS), seed=SEED)
    y_pred = predict(linear, tested).argmax(dim=1).numpy()
    return float(np.mean(y_pred == Category.numbers(labels)))


def pixels(file: Path) -> torch.Tensor:
    """Return the pictures of a file as brightness (rows, 1, 28, 28)."""
    return brightness(torch.from_numpy(read_idx(file).copy()))[:, None]


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (left, right) = plots.panels(2)
    plots.curves(left, evaluation.candidates, "accuracy", "Accuracy on rows held out")
    learning_rates(right, evaluation.candidates)
    yield "learning_curves", figure
    yield "confusion", confusion(evaluation)
    yield "mistakes", mistakes(evaluation)
    title = "Augmentation: mirrored by chance, moved by up to a pixel"
    yield "augmentation", variants(evaluation.train.records[:6], augmented, title)
    figure, axes = plt.subplots(figsize=(6.0, 3.4))
    difficulty(axes, evaluation.candidates)
    yield "digits", figure


def augmented(images: torch.Tensor) -> torch.Tensor:
    return shifted(mirrored(images))


def learning_rates(axes: Axes, tried: Sequence[Candidate]) -> None:
    """Draw the learning rate of one recipe for each schedule: the others' lines are the same."""
    lines = {"one cycle" if each.parameters["one_cycle"] else "constant": each for each in tried}
    named = [replace(each, name=name) for name, each in lines.items()]
    plots.curves(axes, named, "learning_rate", "Learning rate as each epoch starts")


def difficulty(axes: Axes, tried: Sequence[Candidate]) -> None:
    """Draw the errors on digits and on garments.

    Errors rather than accuracies: bars of 99 % and 91 % would look alike.
    """
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
