"""The report's charts: marks found by condition, distances of the test marks, and smoothing."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.training.candidates import Candidate

from .metrics import (
    TOLERANCE,
    WIDTH,
    Comparison,
    baseline_positions,
    opencv_positions,
    served_positions,
)
from .model import LaneFinder
from .scenes import Row, row_of

SMOOTHINGS = (0.0, 0.6)


def by_condition(tried: list[Candidate], chosen: str) -> Figure:
    """Draw the marks found in each condition, on training windows and pictures."""
    names = ["baseline", "opencv_longest", "gray_average", "color_squares", "gray_squares", chosen]
    metrics = {each.name: each.metrics for each in tried}
    groups = [
        each.removeprefix("marks_found_")
        for each in metrics[chosen]
        if each.startswith("marks_found_") and not each.endswith("_se")
    ]
    values = {
        name: [metrics[name].get(f"marks_found_{each}", 0.0) for each in groups]
        for name in dict.fromkeys(names)
    }
    figure, (axes,) = plots.panels(1, height=3.4)
    figure.set_figwidth(10.2)
    shades = ("#24323f", "#8c6d31", "#b8c4cc", "#e0a458", "#6f8fa6", "#0b7189")
    plots.bars(axes, groups, values, "", colours=shades, fmt="{:.2f}", size=6.5)
    axes.set_title("Marks found by condition (training windows)")
    axes.set_ylim(0, 1.3)
    return figure


def distances(evaluation: Evaluation, errors: list[float]) -> Figure:
    """Draw which share of the test marks is nearer than each distance."""
    labels = evaluation.test.labels
    pairs = zip(evaluation.predictions, labels, strict=True)
    found = {
        f"{evaluation.chosen}, served": [served_positions(one, label) for one, label in pairs],
        "OpenCV's longest segments": [opencv_positions(each) for each in labels],
        "mean position (baseline)": [baseline_positions(each) for each in labels],
    }
    figure, (axes,) = plots.panels(1, height=3.4)
    figure.set_figwidth(8)
    grid = np.linspace(0, 40, 400)
    colors = (plots.ACCENT, "#e0a458", plots.INK)
    for (name, rows), color in zip(found.items(), colors, strict=True):
        pixels = Comparison.from_rows(labels, rows).distances * WIDTH
        axes.plot(grid, [(pixels <= each).mean() for each in grid], label=name, color=color)
    again = np.array(errors) * WIDTH
    axes.plot(
        grid, [(again <= each).mean() for each in grid], ":", color="gray", label="second marks"
    )
    axes.axvline(TOLERANCE * WIDTH, color="gray", linewidth=0.8)
    axes.annotate(" tolerance", (TOLERANCE * WIDTH, 0.04), size=8)
    axes.set(xlabel="pixels of 960", ylabel="share of marks", ylim=(0, 1.03), xlim=(0, 40))
    axes.set_title("Test marks up to a distance from the line")
    axes.legend(loc="lower right", fontsize=8)
    return figure


def smoothing(rows: list[Row], weights: Path) -> Figure:
    """Draw where the left line is in each frame of a test window at dusk, smoothed and not."""
    view, label, _ = row_of(rows, "clip_5", "clip", "dusk")
    model = LaneFinder()
    model.load(weights)
    figure, (axes,) = plots.panels(1, height=3.0)
    figure.set_figwidth(8)
    for kept, color in zip(SMOOTHINGS, ("#e0a458", plots.ACCENT), strict=True):
        (found,) = model.predict([view.model_copy(update={"smoothing": kept})])
        positions = served_positions(found, label)
        # Where no line was found, the curve has a gap.
        shown = [
            positions[frame]["left"][-1] * WIDTH if "left" in positions.get(frame, {}) else np.nan
            for frame in range(found.frames)
        ]
        axes.plot(shown, ".-", color=color, label=f"smoothing {kept:g}")
    marks = {
        each.frame: each.left[-1] * WIDTH for each in label.frames if each.left[-1] is not None
    }
    axes.plot(list(marks), list(marks.values()), "o", color=plots.INK, label="marks by hand")
    axes.set(xlabel="frame", ylabel="x at 0.9 of the height, pixels of 960")
    axes.set_title("The left line over a test window at dusk")
    axes.legend(fontsize=8)
    return figure
