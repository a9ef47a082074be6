"""Test metrics of the served forecasts, and pictures of them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.kits.forecasting.report import draw_forecasts, forecast_scores
from slipway.reporting import Evaluation

from .model import Week


def score(*, predictions: list[Week], labels: list[list[float]]) -> dict[str, float]:
    return forecast_scores([each.temperatures for each in predictions], labels)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    forecasts = [each.temperatures for each in evaluation.predictions]
    yield from draw_forecasts(evaluation, forecasts, "Celsius")
