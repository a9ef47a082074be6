"""Test metrics of the served masks, and pictures with them."""

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from slipway.kits.segmentation.report import draw_masks, mask_scores
from slipway.reporting import Evaluation
from slipway.reporting.uncertainty import scores_with_interval

from .model import LABELS, Ink


def score(*, predictions: list[Ink], labels: list[Ink]) -> dict[str, float]:
    scores = partial(mask_scores, labels=LABELS)
    return scores_with_interval("miou", scores, predictions, labels)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield from draw_masks(evaluation, LABELS)
