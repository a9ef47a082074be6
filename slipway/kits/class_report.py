"""Test metrics of predicted classes, and what reports show of them whatever the input is."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from slipway.kits.classes import ClassRecord
from slipway.kits.metrics.classes import class_metrics
from slipway.reporting import Evaluation, plots


def class_scores(predictions: Sequence[ClassRecord], labels: list[str]) -> dict[str, float]:
    """Return the metrics of the served predictions, given the true labels."""
    kind = type(predictions[0])
    return class_metrics(kind.to_probabilities(list(predictions)), kind.numbers(labels))


def learning_curves(evaluation: Evaluation, metric: str) -> Figure:
    """Draw the curve `metric` of every candidate on the rows held out, beside the loss."""
    figure, (left, right) = plots.panels(2)
    plots.curves(left, evaluation.candidates, metric, f"{metric} on rows held out")
    plots.curves(right, evaluation.candidates, "loss", "Loss on the training rows")
    return figure


def confusion(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix of the test rows."""
    labels = evaluation.predictions[0].labels
    side = 2.4 + 0.4 * max(len(labels), 4)
    figure, axes = plt.subplots(figsize=(side, 0.875 * side))
    y_pred = [each.label for each in evaluation.predictions]
    plots.confusion(axes, evaluation.test.labels, y_pred, labels)
    return figure
