"""The share of dots that are found, and how many there are on a plate."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .model import Dots


def score(*, predictions: list[Dots], labels: list[Dots]) -> dict[str, float]:
    found = [
        each in one.dots
        for one, label in zip(predictions, labels, strict=True)
        for each in label.dots
    ]
    return {"recall": sum(found) / len(found)}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    axes.hist([len(each.dots) for each in evaluation.predictions])
    yield "dots", figure
