"""Test metrics of the served boxes, and pictures with them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.kits.detection.report import box_scores, draw_detections
from slipway.reporting import Evaluation

from .model import LABELS, Digits


def score(*, predictions: list[Digits], labels: list[Digits]) -> dict[str, float]:
    return box_scores(predictions, labels, LABELS)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield from draw_detections(evaluation, LABELS)
