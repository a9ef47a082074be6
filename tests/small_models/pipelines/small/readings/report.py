"""The share of readings judged rightly, and the distances of both kinds."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .model import Finding


def score(*, predictions: list[Finding], labels: list[bool]) -> dict[str, float]:
    found = np.array([each.unusual for each in predictions])
    return {"accuracy": float((found == np.array(labels)).mean())}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    axes.scatter(evaluation.test.labels, [each.distance for each in evaluation.predictions])
    yield "distances", figure
