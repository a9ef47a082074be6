"""Scores of the served predictions on the test rows, and a picture of the errors."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.reporting.metrics import binary_metrics

from .model import Decision


def score(*, answers: list[Decision], truths: list[bool]) -> dict[str, float]:
    probabilities, granted = [e.probability for e in answers], [e.granted for e in answers]
    names = ("accuracy", "roc_auc")
    return binary_metrics(truths, *names, y_prob=probabilities, y_pred=granted)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    granted = [each.granted for each in evaluation.answers]
    plots.confusion(axes, evaluation.test.truths, granted, [False, True])
    yield "errors", figure
