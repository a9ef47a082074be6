"""Metrics and confusion matrix on the test rows."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.reporting.metrics import binary_metrics

from .model import Decision


def score(*, predictions: list[Decision], labels: list[bool]) -> dict[str, float]:
    probabilities, granted = [e.probability for e in predictions], [e.granted for e in predictions]
    names = ("accuracy", "roc_auc")
    return binary_metrics(labels, *names, y_prob=probabilities, y_pred=granted)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    granted = [each.granted for each in evaluation.predictions]
    plots.confusion(axes, evaluation.test.labels, granted, [False, True])
    yield "errors", figure
