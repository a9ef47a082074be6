"""Test metrics of found objects, and what reports show of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from slipway.kits.metrics.boxes import box_metrics
from slipway.media import Box, box_overlaps, decode_image
from slipway.reporting import Evaluation, plots

COLOURS = ("#e4572e", "#17bebb", "#ffc914", "#76b041", "#b388eb", "#f7f7f2")
IOU = 0.5


def box_scores(
    predictions: Sequence[Any], ground_truth: Sequence[Any], labels: Sequence[str]
) -> dict[str, float]:
    """Return `map50`, `map`, and recall and precision of the served boxes.

    `predictions` and `ground_truth` have a field `boxes`.
    """
    found, marked = [each.boxes for each in predictions], [each.boxes for each in ground_truth]
    right = sum(len(matches(*pair)) for pair in zip(marked, found, strict=True))
    return {
        **box_metrics(marked, found, labels),
        "recall": right / max(sum(map(len, marked)), 1),
        "precision": right / max(sum(map(len, found)), 1),
    }


def matches(marked: Sequence[Box], found: Sequence[Box], iou: float = IOU) -> list[tuple[int, int]]:
    """Return pairs of marked and found boxes of one label, the surest found box first.

    Each box is in one pair at most, and the two overlap by at least `iou`.
    """
    overlaps = box_overlaps(corners(marked), corners(found))
    pairs, free = [], set(range(len(marked)))
    for place in sorted(range(len(found)), key=lambda each: -found[each].score):
        fitting = [
            each
            for each in free
            if overlaps[each, place] >= iou and marked[each].label == found[place].label
        ]
        if fitting:
            best = max(fitting, key=lambda each: overlaps[each, place])
            free.remove(best)
            pairs.append((best, place))
    return pairs


def corners(boxes: Sequence[Box]) -> np.ndarray:
    """Return the boxes as an array (n, 4) of x1, y1, x2, y2."""
    return np.array([[each.x1, each.y1, each.x2, each.y2] for each in boxes]).reshape(-1, 4)


def draw_detections(evaluation: Evaluation, labels: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Yield the learning curves, pictures with their boxes, and recall by label."""
    figure, (left, right) = plots.panels(2)
    plots.curves(left, evaluation.candidates, "map50", "mAP50 on pictures held out")
    found_by_label(right, evaluation, labels)
    yield "learning_curves", figure
    yield "pictures", pictures(evaluation, labels)


def found_by_label(axes: Axes, evaluation: Evaluation, labels: Sequence[str]) -> None:
    """Draw the share of the marked objects that were found, by label."""
    marked, found = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    for prediction, truth in zip(evaluation.predictions, evaluation.test.labels, strict=True):
        for box in truth.boxes:
            marked[box.label] += 1
        for place, _ in matches(truth.boxes, prediction.boxes):
            found[truth.boxes[place].label] += 1
    shares = [found[name] / max(marked[name], 1) for name in labels]
    names = [f"{name} ({marked[name]})" for name in labels]
    plots.bars(axes, names, shares, "Objects found (test pictures)", fmt="{:.2f}")


def pictures(
    evaluation: Evaluation, labels: Sequence[str], rows: int = 2, columns: int = 3
) -> Figure:
    """Draw the first test pictures with marked boxes dotted and found ones solid."""
    figure, grid = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.6 * rows), squeeze=False)
    triples = zip(grid.flat, evaluation.test, evaluation.predictions, strict=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (record, truth), prediction in triples:
        # Few levels of color, and pixels as they are, make a file half as large.
        shown = decode_image(record.image) // 16 * 16
        axes.imshow(shown, alpha=0.85, interpolation="nearest")
        outline(axes, truth.boxes, labels, linestyle=":", linewidth=1)
        outline(axes, prediction.boxes, labels, linewidth=1.2)
    handles = [Rectangle((0, 0), 1, 1, color=colour(name, labels)) for name in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    figure.suptitle("Test pictures: found (solid) and marked by people (dotted)")
    return figure


def outline(axes: Axes, boxes: Sequence[Box], labels: Sequence[str], **style: Any) -> None:
    """Draw the outlines of boxes in the colors of their labels."""
    for box in boxes:
        edge = colour(box.label, labels)
        size = box.x2 - box.x1, box.y2 - box.y1
        axes.add_patch(Rectangle((box.x1, box.y1), *size, fill=False, edgecolor=edge, **style))


def colour(label: str, labels: Sequence[str]) -> str:
    return COLOURS[list(labels).index(label) % len(COLOURS)]
