"""Test metrics of the served predictions, and pictures of training and mistakes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.training import Candidate, LabelledRows

from .augmentation import augmented
from .metrics import metrics
from .model import LABELS, Category, Garment, features, pixels


def score(*, predictions: list[Category], labels: list[str]) -> dict[str, float]:
    probabilities = np.array(
        [[each.probabilities[label] for label in LABELS] for each in predictions]
    )
    return metrics(probabilities, np.array([LABELS.index(label) for label in labels]))


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (left, right) = plots.panels(2)
    plots.curves(left, evaluation.candidates, "accuracy", "Accuracy on rows held out")
    learning_rates(right, evaluation.candidates)
    yield "learning_curves", figure
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    y_pred = [each.label for each in evaluation.predictions]
    plots.confusion(axes, evaluation.test.labels, y_pred, LABELS)
    yield "confusion", figure
    yield "mistakes", mistakes(evaluation)
    yield "augmentation", variants(evaluation.train.head(6))
    figure, axes = plt.subplots(figsize=(6.0, 3.4))
    difficulty(axes, evaluation.candidates)
    yield "digits", figure


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


def mistakes(evaluation: Evaluation, rows: int = 3, columns: int = 7) -> Figure:
    """Draw the wrong predictions with the highest probabilities among the test rows."""
    wrong = [
        (prediction, label, record)
        for prediction, (record, label) in zip(evaluation.predictions, evaluation.test, strict=True)
        if prediction.label != label
    ]
    surest = sorted(wrong, key=lambda each: -each[0].probability)[: rows * columns]
    figure, grid = plt.subplots(rows, columns, figsize=(1.3 * columns, 1.65 * rows + 0.4))
    for axes in grid.flat:
        axes.axis("off")
    for axes, (prediction, label, record) in zip(grid.flat, surest, strict=False):
        axes.imshow(pixels(record.image), cmap="gray", vmin=0, vmax=255)
        title = f"{prediction.label} {prediction.probability:.3f}\nis {label}"
        axes.set_title(title, size=7.5, weight="normal", loc="center")
    figure.suptitle("Wrong and surest of it (test rows): answer, probability, truth")
    return figure


def variants(shown: LabelledRows[Garment, str], count: int = 7) -> Figure:
    """Draw each garment unchanged in the first column, then augmented as in training."""
    images = torch.from_numpy(features(shown.records)["images"])
    torch.manual_seed(0)
    columns = [images, *(augmented(images, flip=True, shift=True) for _ in range(count))]
    figure, grid = plt.subplots(len(shown), count + 1, figsize=(count + 1, len(shown) + 0.4))
    for column, batch in enumerate(columns):
        for row, image in enumerate(batch):
            grid[row, column].imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
            grid[row, column].axis("off")
    grid[0, 0].set_title("as it is", loc="center", size=8, weight="normal")
    figure.suptitle("Augmentation: mirrored by chance, moved by up to a pixel")
    return figure
