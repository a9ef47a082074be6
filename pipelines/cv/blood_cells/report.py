"""Score the served cells and their counts beside the baseline's, and draw them."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.kits.detection.record import Detections
from slipway.kits.detection.report import found_by_label, pictures
from slipway.kits.metrics.boxes import Boxes, ap50_by_label, box_metrics, map50_interval
from slipway.media import decode_image
from slipway.reporting import Evaluation, plots

from .classical import find_cells
from .data import published
from .model import LABELS, Cells, name_of


def score(*, predictions: list[Cells], labels: list[Detections]) -> dict[str, float]:
    """Return the precision of the served boxes with its interval, and the errors of the counts.

    `baseline_...` are the color thresholds on the same pictures.
    """
    marked, found = [each.boxes for each in labels], [each.boxes for each in predictions]
    low, high = map50_interval(marked, found, LABELS, seed=0)
    return {
        **box_metrics(marked, found, LABELS),
        "map50_low": low,
        "map50_high": high,
        **by_label(marked, found),
        **{f"baseline_{name}": value for name, value in baseline(marked).items()},
    }


def baseline(marked: Boxes) -> dict[str, float]:
    """Return the metrics of the color thresholds on the first test pictures, whose boxes these are.

    Predictions and labels alone are scored, so the pictures are read from the data set.
    """
    tested = [each for each in published(fetch("bccd")) if each.split == "test"][: len(marked)]
    found = [find_cells(decode_image(each.content)) for each in tested]
    return {"map50": box_metrics(marked, found, LABELS)["map50"], **by_label(marked, found)}


def by_label(marked: Boxes, found: Boxes) -> dict[str, float]:
    """Return the average precision, and the mean error of the count in a picture, by label."""
    precision = ap50_by_label(marked, found, LABELS)
    off = {label: np.abs(counts(marked, label) - counts(found, label)).mean() for label in LABELS}
    return {
        **{f"{name_of(label)}_ap50": value for label, value in precision.items()},
        **{f"{name_of(label)}_count_error": float(value) for label, value in off.items()},
    }


def counts(boxes: Boxes, label: str) -> np.ndarray:
    """Return how many boxes of a label each picture has, (rows,)."""
    return np.array([sum(each.label == label for each in listed) for listed in boxes])


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "cells", pictures(evaluation, LABELS, rows=1, columns=3)
    yield "counts", counted(evaluation.predictions, evaluation.test.labels)
    figure, (left, right) = plots.panels(2)
    networks = [each for each in evaluation.candidates if each.curves]
    plots.curves(left, networks, "map50", "mAP50 on validation pictures")
    found_by_label(right, evaluation, LABELS)
    yield "learning_curves", figure


def counted(predictions: Sequence[Cells], labels: Sequence[Detections]) -> Figure:
    """Draw the count of each test picture against the marked one, by label."""
    marked, found = [each.boxes for each in labels], [each.boxes for each in predictions]
    # Points on each other would hide how many there are.
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, (2, len(LABELS), len(marked)))
    figure, panels = plots.panels(len(LABELS), height=3.2)
    for place, (axes, label) in enumerate(zip(panels, LABELS, strict=True)):
        true, shown = counts(marked, label), counts(found, label)
        most = max(true.max(), shown.max()) + 1
        axes.plot([0, most], [0, most], color=plots.PALE, linestyle=":")
        axes.plot(*(np.stack([true, shown]) + jitter[:, place]), ".", color=plots.ACCENT, alpha=0.6)
        axes.set(xlabel="marked by people", ylabel="counted", title=f"{label}s in a test picture")
    figure.set_size_inches(9.0, 3.0)
    return figure
