"""Test metrics of the served boxes, and pictures with them."""

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from slipway.kits.detection.report import box_scores, draw_detections
from slipway.reporting import Evaluation
from slipway.reporting.uncertainty import scores_with_interval

from .model import LABELS, Digits


def score(*, predictions: list[Digits], labels: list[Digits]) -> dict[str, float]:
    scores = partial(box_scores, labels=LABELS)
    return scores_with_interval("map50", scores, predictions, labels, resamples=100)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield from draw_detections(evaluation, LABELS)
