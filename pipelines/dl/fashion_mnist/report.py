"""Test metrics of the served predictions, and pictures of training and mistakes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.kits.augmentation import mirrored, shifted
from slipway.kits.class_report import class_scores, confusion
from slipway.kits.image_classification.report import mistakes, variants
from slipway.reporting import Evaluation, plots
from slipway.training import Candidate

from .model import Category


def score(*, predictions: list[Category], labels: list[str]) -> dict[str, float]:
    return class_scores(predictions, labels)


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
