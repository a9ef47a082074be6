"""Scores of the served predictions on the test rows, and a picture of them."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .model import Price


def score(*, answers: list[Price], truths: list[float]) -> dict[str, float]:
    errors = np.array([each.price for each in answers]) - np.array(truths)
    return {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean()))}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    axes.scatter(evaluation.test.truths, [each.price for each in evaluation.answers])
    yield "prices", figure
