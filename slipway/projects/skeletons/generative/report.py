"""Test metrics of the served pictures, and some of them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.kits.generative.report import draw_pictures, picture_scores
from slipway.reporting import Evaluation
from slipway.reporting.uncertainty import scores_with_interval

from .model import Clean


def score(*, predictions: list[Clean], labels: list[Clean]) -> dict[str, float]:
    return scores_with_interval("psnr", picture_scores, predictions, labels, resamples=50)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield from draw_pictures(evaluation)
