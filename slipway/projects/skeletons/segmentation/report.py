"""Test metrics of the served masks, and pictures with them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.kits.segmentation.report import draw_masks, mask_scores
from slipway.reporting import Evaluation

from .model import LABELS, Ink


def score(*, predictions: list[Ink], labels: list[Ink]) -> dict[str, float]:
    return mask_scores(predictions, labels, LABELS)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield from draw_masks(evaluation, LABELS)
