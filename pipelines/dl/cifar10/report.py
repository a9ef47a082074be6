"""Test metrics of the served predictions, and pictures of signals, training, classes and errors."""

from collections import Counter
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.kits.class_report import class_scores, confusion
from slipway.kits.image_classification.report import show, variants
from slipway.kits.images import image_batch, pixel_batch
from slipway.kits.pixel_baseline import fit_linear, linear_probabilities
from slipway.reporting import Evaluation, plots
from slipway.statistics.proportions import wilson
from slipway.training.candidates import Candidate
from slipway.training.selection import bootstrap_interval

from .data import splits
from .model import LABELS, SIDE, Cifar10, Subject
from .network import SMALL, reduced
from .signals import signals
from .train import CELLS, RECIPES, augment

COLOURS = {"naive": plots.PALE, "he": plots.INK, "batch_norm": plots.ACCENT}


def score(*, predictions: list[Subject], labels: list[str]) -> dict[str, float]:
    """Return the metrics with an interval, the worst class, and the baseline's accuracy."""
    right = np.array([each.label for each in predictions]) == np.array(labels)
    # The unit is a picture: near copies of training pictures were left out of the training.
    low, high = bootstrap_interval(lambda rows: float(right[rows].mean()), len(right), seed=0)
    return {
        **class_scores(predictions, labels),
        "accuracy_low": low,
        "accuracy_high": high,
        "baseline_accuracy": baseline_accuracy(labels),
        "worst_class_accuracy": min(share for share, _, _ in by_class(right, labels).values()),
    }


def baseline_accuracy(labels: list[str]) -> float:
    """Return the accuracy of logistic regression on the first test rows, whose labels these are.

    It learns from five pictures for each tested one: from all of them, if all test pictures are
    scored. Predictions and labels alone are scored, so the pictures are read from the data set.
    """
    rows = {split: list(each) for split, each in splits(fetch("cifar10_jpeg")).items()}
    learned = rows["train"][: 5 * len(labels)]
    tested = [record for record, _ in rows["test"][: len(labels)]]
    y_learned = Subject.numbers([label for _, label in learned])
    linear = fit_linear([record for record, _ in learned], y_learned, CELLS)
    y_pred = linear_probabilities(linear, tested, CELLS).argmax(axis=1)
    return float(np.mean(y_pred == Subject.numbers(labels)))


def by_class(right: np.ndarray, labels: list[str]) -> dict[str, tuple[float, float, float]]:
    """Return the share of right answers (rows,) of each class, with its 95 % score interval."""
    names, found = np.array(labels), {}
    for name in LABELS:
        if size := int((names == name).sum()):
            count = int(right[names == name].sum())
            found[name] = (count / size, *wilson((count, size), coverage=0.95))
    return found


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, axes = plots.panels(3, height=3.2)
    draw_signals(axes[0], axes[1], evaluation)
    draw_lengths(axes[2], evaluation.candidates)
    yield "deep", figure
    yield "classes", classes(evaluation)
    yield "confusion", confusion(evaluation)
    yield "worst_confusions", worst_confusions(evaluation)
    yield "evidence", evidence(evaluation)
    title = f"Seen first: mirrored and moved by chance, with {SMALL} x {SMALL} pixels"
    yield "augmentation", variants(evaluation.train.records[:6], changed, title)


def changed(images: torch.Tensor) -> torch.Tensor:
    return reduced(augment(images, RECIPES["full_length"]), SMALL)


def draw_signals(left: Axes, right: Axes, evaluation: Evaluation) -> None:
    """Draw the strength of activations and gradients by layer in untrained networks."""
    rows = evaluation.train
    images = torch.from_numpy(image_batch(rows.records[:128])["images"])
    labels = torch.from_numpy(Subject.numbers(rows.labels[:128]))
    for name, colour in COLOURS.items():
        found = signals(RECIPES[name], images, labels)
        layers = range(1, len(found.activations) + 1)
        left.plot(layers, found.activations, "o-", markersize=3, color=colour, label=name)
        right.plot(layers, found.gradients, "o-", markersize=3, color=colour, label=name)
    left.set(title="Activations before training", ylabel="standard deviation")
    right.set(title="Gradients before training")
    for axes in (left, right):
        axes.set(yscale="log", xlabel="convolution")
    left.legend(loc="lower left")


def draw_lengths(axes: Axes, tried: list[Candidate]) -> None:
    """Draw the accuracy of the brief trainings after each epoch."""
    for each in tried:
        if each.name in COLOURS:
            values = [100 * value for value in each.curves["accuracy"]]
            epochs = range(1, len(values) + 1)
            axes.plot(epochs, values, "o-", markersize=3, color=COLOURS[each.name])
            axes.annotate(each.name, (len(values), values[-1]), (4, 0), textcoords="offset points")
    axes.margins(x=0.2)
    axes.set(title="Brief training", xlabel="epoch", ylabel="right, of pictures held out (%)")


def classes(evaluation: Evaluation) -> Figure:
    """Draw each class's accuracy with its interval, and the accuracy by epoch at full length."""
    figure, (left, right) = plots.panels(2, height=3.4)
    answers = np.array([each.label for each in evaluation.predictions])
    correct = answers == np.array(evaluation.test.labels)
    found = by_class(correct, evaluation.test.labels)
    ordered = dict(sorted(found.items(), key=lambda each: -each[1][0]))
    overall = evaluation.metrics["accuracy"]
    title = "Right in each class (test rows), and in all"
    plots.intervals(left, ordered, title, fmt="{:.3f}", no_effect=overall)
    curve = next(each for each in evaluation.candidates if each.name == evaluation.chosen)
    plots.curves(right, [curve], "accuracy", "Accuracy on rows held out")
    return figure


def worst_confusions(evaluation: Evaluation, pairs: int = 4, columns: int = 7) -> Figure:
    """Draw the most frequent confusions, with the surest of each."""
    wrong = [
        (label, prediction.label, prediction.probability, record)
        for prediction, (record, label) in zip(evaluation.predictions, evaluation.test, strict=True)
        if prediction.label != label
    ]
    frequent = Counter((label, answer) for label, answer, _, _ in wrong).most_common(pairs)
    figure, grid = plt.subplots(pairs, columns, figsize=(8.4, 1.35 * pairs + 0.4), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for row, ((label, answer), count) in zip(grid, frequent, strict=False):
        surest = sorted(
            (each for each in wrong if each[:2] == (label, answer)), key=lambda each: -each[2]
        )
        row[0].set_ylabel(f"{label}\nas {answer}\n{count} times", size=8)
        for axes, (_, _, probability, record) in zip(row, surest, strict=False):
            show(axes, pixel_batch([record])[0])
            axes.set_title(f"{probability:.2f}", size=8, weight="normal", loc="center")
    figure.suptitle("The most frequent confusions (test rows), the surest first")
    return figure


def evidence(evaluation: Evaluation, columns: int = 10) -> Figure:
    """Draw the first test pictures with the parts that spoke for the answer."""
    model = Cifar10()
    model.load(evaluation.weights)
    figure, grid = plt.subplots(2, columns, figsize=(8.4, 2.2))
    rows = list(zip(evaluation.test, evaluation.predictions, strict=True))[:columns]
    for (above, below), ((record, label), found) in zip(grid.T, rows, strict=False):
        image = image_batch([record])["images"][0]
        show(above, image)
        answer = f"{found.label}\n{found.probability:.2f}"
        wrong = "" if found.label == label else f"\nis {label}"
        above.set_title(answer + wrong, size=7, weight="normal", loc="center")
        maps = model.activation_maps(record)
        spoke = maps[found.label] - np.mean(list(maps.values()), axis=0)
        limit = float(np.abs(spoke).max())
        below.imshow(image.mean(axis=0), cmap="gray", vmin=0, vmax=1)
        extent = (-0.5, SIDE - 0.5, SIDE - 0.5, -0.5)
        place = {"extent": extent, "interpolation": "bicubic", "alpha": 0.55}
        below.imshow(spoke, cmap="BrBG", vmin=-limit, vmax=limit, **place)
    for axes in grid.flat:
        axes.axis("off")
    figure.suptitle("Test pictures, and the parts that spoke for the answer (green)")
    return figure
