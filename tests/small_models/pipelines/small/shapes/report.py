"""Accuracy and confusion matrix on the test rows."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .model import LABELS, Shape


def score(*, predictions: list[Shape], labels: list[str]) -> dict[str, float]:
    right = sum(each.label == label for each, label in zip(predictions, labels, strict=True))
    return {"accuracy": right / len(labels)}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    predicted = [each.label for each in evaluation.predictions]
    plots.confusion(axes, evaluation.test.labels, predicted, LABELS)
    yield "errors", figure
