"""The share of test pictures that are recognized, and a picture of the errors."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .model import LABELS, Shape


def score(*, answers: list[Shape], truths: list[str]) -> dict[str, float]:
    right = sum(each.label == label for each, label in zip(answers, truths, strict=True))
    return {"accuracy": right / len(truths)}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    predicted = [each.label for each in evaluation.answers]
    plots.confusion(axes, evaluation.test.truths, predicted, LABELS)
    yield "errors", figure
