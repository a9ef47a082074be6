"""Score results by their equality with OpenCV's, and show what each operation does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from slipway.media import decode_image
from slipway.reporting import Evaluation, plots

from .metrics import equality_metrics, identical_interval, largest_differences
from .model import Edit, Edited, Expected
from .operations import Operation, apply

# A photograph of OpenCV's that is in no split.
PHOTO = Path(__file__).with_name("photo.jpg")
STEPS: dict[str, list[dict[str, Any]]] = {
    "original": [],
    "resize to 40 x 30, nearest": [{"resize": {"width": 40, "height": 30, "method": "nearest"}}],
    "resize to 40 x 30, area": [{"resize": {"width": 40, "height": 30}}],
    "crop": [{"crop": {"left": 60, "top": 40, "width": 100, "height": 75}}],
    "rotate": [{"rotate": {"degrees": 20}}],
    "affine": [{"affine": {"matrix": [1, 0.3, -40, 0, 1, 0]}}],
    "convert to gray": [{"convert": {"to": "gray"}}],
    "convert to hsv": [{"convert": {"to": "hsv"}}],
    "convert to lab": [{"convert": {"to": "lab"}}],
    "gaussian": [{"gaussian": {"sigma": 3}}],
    "median": [{"median": {"radius": 2}}],
    "sharpen": [{"sharpen": {"amount": 3}}],
    "edges": [{"edges": {}}],
    "edges, threshold 90": [{"edges": {"threshold": 90}}],
    "flip, then bgr": [{"flip": {}}, {"convert": {"to": "bgr"}}],
}
COLUMNS = 5


def edit(operations: list[dict[str, Any]], **settings: Any) -> Edit:
    """Return an edit of the example photograph."""
    steps = [Operation.model_validate(each) for each in operations]
    return Edit(image=PHOTO.read_bytes(), operations=steps, **settings)


EXAMPLES = [
    edit([{"resize": {"width": 160, "height": 120}}, {"sharpen": {"amount": 1.5}}], format="jpeg"),
    edit([{"rotate": {"degrees": 15}}, {"convert": {"to": "gray"}}], format="webp"),
    edit([{"edges": {"threshold": 90}}]),
]


def score(*, predictions: list[Edited], labels: list[Expected]) -> dict[str, float]:
    largest = largest_differences([decode_image(each.image) for each in predictions], labels)
    kinds = [each.kind for each in labels]
    low, high = identical_interval(largest, kinds)
    # The baseline's results for these rows are in the labels.
    textbook = np.array([each.textbook_largest for each in labels])
    baseline = equality_metrics(textbook, kinds)
    return {
        **equality_metrics(largest, kinds),
        "identical_share_low": low,
        "identical_share_high": high,
        "baseline_identical_share": baseline["identical_share"],
        "baseline_largest_difference": baseline["largest_difference"],
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "operations", operations()
    labels = evaluation.test.labels
    results = [decode_image(each.image) for each in evaluation.predictions]
    largest = largest_differences(results, labels)
    textbook = np.array([each.textbook_largest for each in labels])
    kinds = list(dict.fromkeys(each.kind for each in labels))
    rows = {kind: np.array([each.kind == kind for each in labels]) for kind in kinds}
    figure, (left, right) = plots.panels(2, height=5.6)
    series = {"real numbers": textbook, "as served": largest}
    colours = (plots.PALE, plots.ACCENT)
    shares = {
        name: [float((each[row] == 0).mean()) for row in rows.values()]
        for name, each in series.items()
    }
    title = "Share of pictures identical with OpenCV's"
    plots.bars(left, kinds, shares, title, horizontal=True, fmt="{:.2f}", colours=colours)
    most = {name: [int(each[row].max()) for row in rows.values()] for name, each in series.items()}
    title = "Largest difference of a value"
    plots.bars(right, kinds, most, title, horizontal=True, fmt="{:d}", colours=colours)
    # Up to 255, where another pixel was taken or the hue goes around the circle.
    right.set_xscale("symlog")
    yield "equality", figure


def operations() -> Figure:
    """Draw one photograph after each operation."""
    rows = -(-len(STEPS) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(6.2, 1.3 * rows))
    photo = decode_image(PHOTO.read_bytes())
    for place, (name, steps) in zip(axes.flat, STEPS.items(), strict=True):
        # Few levels make a smaller file.
        image = apply(photo, [Operation.model_validate(each) for each in steps]) // 8 * 8
        place.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        place.set_title(name, fontsize=6)
        place.set_axis_off()
    return figure
