"""Test metrics of the served predictions, learning curves and the confusion matrix."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.kits.class_report import class_scores, confusion, learning_curves
from slipway.reporting import Evaluation
from slipway.reporting.uncertainty import scores_with_interval

from .model import Digit


def score(*, predictions: list[Digit], labels: list[str]) -> dict[str, float]:
    return scores_with_interval("accuracy", class_scores, predictions, labels)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "learning_curves", learning_curves(evaluation, "accuracy")
    yield "confusion", confusion(evaluation)
