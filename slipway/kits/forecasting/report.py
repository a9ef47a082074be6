"""Test metrics of served forecasts, and pictures of them."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from slipway.kits.class_report import learning_curves
from slipway.kits.metrics.forecasts import mase, smape
from slipway.reporting import Evaluation, plots


def forecast_scores(
    y_pred: Sequence[Sequence[float]], y_true: Sequence[Sequence[float]], season: int = 1
) -> dict[str, float]:
    """Return `mae`, `smape` and `mase` of forecasts (rows, steps) in the order of time.

    MASE is relative to repeating the value of a season ago, over the series of the first steps.
    """
    true, predicted = np.array(y_true, dtype=np.float64), np.array(y_pred, dtype=np.float64)
    return {
        "mae": float(np.abs(true - predicted).mean()),
        "smape": smape(true, predicted),
        "mase": mase(true, predicted, true[:, 0], season),
    }


def draw_forecasts(
    evaluation: Evaluation, y_pred: Sequence[Sequence[float]], unit: str
) -> Iterator[tuple[str, Figure]]:
    """Yield the learning curves, and the error by step with the first step's forecasts."""
    yield "learning_curves", learning_curves(evaluation, "mae")
    true, predicted = np.array(evaluation.test.labels), np.array(y_pred)
    figure, (left, right) = plots.panels(2)
    errors = np.abs(true - predicted).mean(axis=0)
    plots.bars(left, range(1, len(errors) + 1), errors, "Error by step ahead (test)", fmt="{:.2f}")
    left.set(xlabel="steps ahead", ylabel=f"mean absolute error, {unit}")
    shown = slice(-120, None)
    right.plot(true[shown, 0], color=plots.INK, label="observed", linewidth=1)
    right.plot(predicted[shown, 0], color=plots.ACCENT, label="forecast", linewidth=1)
    right.set(xlabel="last test rows", ylabel=unit, title="One step ahead")
    right.legend()
    yield "forecasts", figure
