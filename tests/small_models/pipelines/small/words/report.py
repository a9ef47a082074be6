"""Score the next letters: the share that is right, and their probability."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .model import Word


def score(*, predictions: list[Word], labels: list[str]) -> dict[str, float]:
    pairs = zip(predictions, labels, strict=True)
    return {"accuracy": float(np.mean([each.text[:3] == label[:3] for each, label in pairs]))}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    axes.hist([each.log_probability for each in evaluation.predictions])
    yield "log_probabilities", figure
