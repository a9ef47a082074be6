"""Errors on the test rows, and a scatter plot of predictions against prices."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .model import Price


def score(*, predictions: list[Price], labels: list[float]) -> dict[str, float]:
    errors = np.array([each.price for each in predictions]) - np.array(labels)
    return {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean()))}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    axes.scatter(evaluation.test.labels, [each.price for each in evaluation.predictions])
    yield "prices", figure
