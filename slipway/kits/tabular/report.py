"""Test metrics of yes-or-no predictions, and what reports show of them."""

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics


def binary_scores(
    predictions: Sequence[Any], labels: Sequence[bool], decision: str, *names: str
) -> dict[str, float]:
    """Return the metrics `names` of predictions with the fields `probability` and `decision`."""
    y_prob = [each.probability for each in predictions]
    y_pred = [getattr(each, decision) for each in predictions]
    return binary_metrics(labels, *names, y_prob=y_prob, y_pred=y_pred)


def errors(
    evaluation: Evaluation, decision: str, curve: Literal["roc", "precision_recall"]
) -> Figure:
    """Draw the confusion matrix of the field `decision`, and a curve of `probability`."""
    labels = evaluation.test.labels
    figure, (left, right) = plots.panels(2)
    decided = [getattr(each, decision) for each in evaluation.predictions]
    plots.confusion(left, labels, decided, [False, True])
    draw = curves.roc if curve == "roc" else curves.precision_recall
    draw(right, labels, [each.probability for each in evaluation.predictions])
    return figure
