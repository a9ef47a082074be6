"""Test metrics of the served forecasts, and pictures of them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.kits.forecasting.report import draw_forecasts, forecast_scores
from slipway.reporting import Evaluation
from slipway.reporting.uncertainty import scores_with_interval

from .model import Week


def score(*, predictions: list[Week], labels: list[list[float]]) -> dict[str, float]:
    forecasts = [each.temperatures for each in predictions]
    # Forecasts of neighbouring days overlap, so the true interval is wider.
    return scores_with_interval("mae", forecast_scores, forecasts, labels)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    forecasts = [each.temperatures for each in evaluation.predictions]
    yield from draw_forecasts(evaluation, forecasts, "Celsius")
