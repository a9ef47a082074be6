"""Score shapes and edges, and show them on drawings and photographs, beside those of a network."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.media import decode_image, encode_png
from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from . import hed
from .canny import RULES, canny
from .drawings import LEVELS, UNITS
from .metrics import confusion, edge_counts, edge_f1, f1, shape_counts
from .model import Drawing, Outlines, Scene, ShapeFinder
from .shapes import NAMES

# A drawing of a seed of its own, and a picture that comes with OpenCV.
DRAWING = Path(__file__).with_name("shapes.png").read_bytes()
EXAMPLES = [Scene(image=DRAWING), Scene(image=DRAWING, rule="fixed", sigma=0)]
SEED = 22
# So many test drawings are given to the network, which takes a fifth of a second for each: two at
# each level of each property.
COMPARED = 60
# Photographs on which own edges are held against OpenCV's, at so many pairs of thresholds.
PHOTOGRAPHS = ("aloeL.jpg", "fruits.jpg", "home.jpg", "sudoku.png")
THRESHOLDS = ((100.0, 200.0), (20.0, 60.0), (300.0, 150.0))


def read_photograph(name: str) -> np.ndarray:
    """Return a photograph (height, width, 3), at most 400 pixels wide."""
    image = decode_image(fetch("opencv_samples").path(name).read_bytes())
    scale = min(1.0, 400 / image.shape[1])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def opencv_equal_share() -> float:
    """Return the share of pixels of photographs that are edges in both methods, or in neither."""
    equal = []
    for name in PHOTOGRAPHS:
        gray = cv2.cvtColor(read_photograph(name), cv2.COLOR_RGB2GRAY)
        for low, high in THRESHOLDS:
            other = cv2.Canny(gray, low, high, L2gradient=True) > 0
            equal.append(float((canny(gray, low, high) == other).mean()))
    return float(np.mean(equal))


def score(*, predictions: list[Outlines], labels: list[Drawing]) -> dict[str, float]:
    shapes = np.array(
        [
            shape_counts(each.shapes, label.shapes)
            for each, label in zip(predictions, labels, strict=True)
        ]
    )
    low, high = bootstrap_interval(lambda rows: f1(shapes[rows]), len(shapes), seed=SEED)
    baseline = np.array([shape_counts(each.baseline, each.shapes) for each in labels])
    pixels = np.array(
        [
            edge_counts(decode_image(each.edges, "L") > 0, decode_image(label.edges, "L") > 0)
            for each, label in zip(predictions, labels, strict=True)
        ]
    )
    right, found, true = shapes.sum(axis=0)
    return {
        "shape_f1": f1(shapes),
        "shape_f1_low": low,
        "shape_f1_high": high,
        "shape_precision": float(right / max(found, 1)),
        "shape_recall": float(right / true),
        "baseline_shape_f1": f1(baseline),
        "edge_f1": edge_f1(pixels),
        "opencv_equal_share": opencv_equal_share(),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = ShapeFinder()
    model.load(evaluation.weights)
    yield "shapes", steps(model)
    yield "accuracy", accuracy(evaluation)
    yield "thresholds", thresholds(model)
    yield "names", names(evaluation)
    yield "network", network(evaluation, model)


def show(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show a picture without axes; edges are black on white."""
    # In fewer colors, so that the file stays small.
    shown = ~image if image.dtype == np.bool_ else image // 12 * 12 if image.ndim == 3 else image
    axes.imshow(shown, cmap="gray", vmin=0)
    axes.set_title(title, size=9)
    axes.set_axis_off()


def steps(model: ShapeFinder) -> Figure:
    """Draw what was sent, its edges, and its named outlines."""
    sent = {"drawing": DRAWING, "OpenCV's sample": further("pic3.png")}
    figure, axes = plt.subplots(len(sent), 3, figsize=(8.4, 4.4))
    for row, image in zip(axes, sent.values(), strict=True):
        (found,) = model.predict([Scene(image=image)])
        show(row[0], decode_image(image), "sent" if row is axes[0] else "")
        show(row[1], decode_image(found.edges, "L") > 0, "edges" if row is axes[0] else "")
        show(row[2], decode_image(found.drawn), "outlines, named" if row is axes[0] else "")
        for box in found.shapes:
            row[2].text(
                (box.x1 + box.x2) / 2,
                (box.y1 + box.y2) / 2,
                box.label,
                ha="center",
                va="center",
                size=7,
            )
    return figure


def further(name: str) -> bytes:
    """Return a sample picture of shapes that comes with OpenCV."""
    return fetch("opencv_further_samples").path(name).read_bytes()


def accuracy(evaluation: Evaluation) -> Figure:
    """Draw the F1 score of shapes at each level of each property, with 95 % intervals."""
    labels = evaluation.test.labels
    served = np.array(
        [
            shape_counts(each.shapes, label.shapes)
            for each, label in zip(evaluation.predictions, labels, strict=True)
        ]
    )
    baseline = np.array([shape_counts(each.baseline, each.shapes) for each in labels])
    figure, axes = plt.subplots(2, 3, figsize=(9.2, 5))
    for place, (condition, levels) in zip(axes.flat, LEVELS.items(), strict=False):
        for counts, color, name in (
            (served, plots.ACCENT, "served"),
            (baseline, plots.INK, "baseline"),
        ):
            chosen = [
                counts[[(each.condition, each.level) == (condition, level) for each in labels]]
                for level in levels
            ]
            place.plot(
                levels, [f1(each) for each in chosen], "o-", color=color, markersize=3, label=name
            )
            bounds = [
                bootstrap_interval(lambda rows, each=each: f1(each[rows]), len(each), seed=SEED)  # type: ignore[misc]
                for each in chosen
            ]
            place.fill_between(levels, *np.transpose(bounds), color=color, alpha=0.15)
        place.set_title(condition)
        place.set_xlabel(UNITS[condition])
        place.set_ylim(-0.04, 1.04)
        if levels[0] > levels[-1]:
            place.invert_xaxis()
    for row in axes:
        row[0].set_ylabel("F1 score of named shapes")
    axes[1, 2].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
    axes[1, 2].set_axis_off()
    return figure


def thresholds(model: ShapeFinder) -> Figure:
    """Draw the edges of different pictures by each rule, smoothed by one pixel."""
    pictures = {"photograph": encode_png(read_photograph("home.jpg"))}
    pictures["drawing"] = DRAWING
    generator = np.random.default_rng(SEED)
    faint = decode_image(DRAWING) * 0.2 + 100 + generator.normal(0, 3, (240, 320, 1))
    pictures["faint drawing"] = encode_png(np.clip(np.rint(faint), 0, 255).astype(np.uint8))
    figure, axes = plt.subplots(len(pictures), len(RULES) + 1, figsize=(9.6, 4.2))
    for row, (name, image) in zip(axes, pictures.items(), strict=True):
        show(row[0], decode_image(image), name)
        for place, rule in zip(row[1:], RULES, strict=True):
            (found,) = model.predict([Scene(image=image, rule=rule, sigma=1)])
            show(
                place,
                decode_image(found.edges, "L") > 0,
                f"{rule}: {found.low:.0f}, {found.high:.0f}",
            )
    return figure


def names(evaluation: Evaluation) -> Figure:
    """Draw which names the true shapes got, as shares."""
    counts = confusion(
        [each.shapes for each in evaluation.predictions],
        [each.shapes for each in evaluation.test.labels],
    )
    columns = [*NAMES, "none"]
    table = np.array([[counts[name, column] for column in columns] for name in NAMES], dtype=float)
    table /= np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = plots.panels(1, height=4)
    plots.heatmap(
        axes, table, NAMES, columns, "Names that test shapes got, as shares", fmt="{:.2f}"
    )
    axes.set_ylabel("true name")
    axes.set_xlabel("name found (none: nothing there, or no name)")
    return figure


def network(evaluation: Evaluation, model: ShapeFinder) -> Figure:
    """Draw edges beside those of the network, and the F1 score of both for each property."""
    finder = hed.load_network()
    rows = range(min(COMPARED, len(evaluation.test)))
    labels = [evaluation.test.labels[row] for row in rows]
    true = [decode_image(each.edges, "L") > 0 for each in labels]
    own = [decode_image(evaluation.predictions[row].edges, "L") > 0 for row in rows]
    images = [decode_image(evaluation.test.records[row].image) for row in rows]
    other = [hed.thin(hed.edge_probabilities(finder, each), hed.THRESHOLD) for each in images]
    bars = {}
    for name, edges in (("own Canny", own), ("network", other)):
        counts = np.array([edge_counts(*pair) for pair in zip(edges, true, strict=True)])
        bars[name] = [
            edge_f1(counts[[each.condition == condition for each in labels]])
            for condition in LEVELS
        ]
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.8), width_ratios=[1, 1, 1, 1.5])
    photograph = read_photograph("home.jpg")
    (found,) = model.predict([Scene(image=encode_png(photograph))])
    show(axes[0], photograph, "sent")
    show(axes[1], decode_image(found.edges, "L") > 0, "own Canny")
    show(axes[2], 1 - hed.edge_probabilities(finder, photograph), "network")
    plots.bars(axes[3], list(LEVELS), bars, "F1 score of edges, test drawings", fmt="{:.2f}")
    axes[3].set_ylim(0, 1.3)
    axes[3].tick_params(axis="x", labelsize=7)
    return figure
