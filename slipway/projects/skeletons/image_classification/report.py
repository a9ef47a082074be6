"""Test metrics of the served predictions, and pictures of training and mistakes."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.kits.class_report import class_scores
from slipway.kits.image_classification.report import draw_classes
from slipway.reporting import Evaluation
from slipway.reporting.uncertainty import scores_with_interval

from .model import Digit


def score(*, predictions: list[Digit], labels: list[str]) -> dict[str, float]:
    return scores_with_interval("accuracy", class_scores, predictions, labels)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield from draw_classes(evaluation)
