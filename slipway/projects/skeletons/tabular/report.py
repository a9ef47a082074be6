"""Accuracy and confusion matrix on the test rows."""

from collections.abc import Iterator

from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score

from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import scores_with_interval

from .model import SPECIES, Species


def score(*, predictions: list[Species], labels: list[str]) -> dict[str, float]:
    return scores_with_interval("accuracy", scores, predictions, labels)


def scores(predictions: list[Species], labels: list[str]) -> dict[str, float]:
    return {"accuracy": float(accuracy_score(labels, [each.species for each in predictions]))}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    predicted = [each.species for each in evaluation.predictions]
    plots.confusion(axes, evaluation.test.labels, predicted, SPECIES)
    yield "errors", figure
