"""Score counts against those by eye; show tracks, masks of each method, and changes of light."""

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.kits.tracking.clips import encode_clip
from slipway.kits.tracking.drawing import draw_speeds, draw_tracks
from slipway.reporting import Evaluation, plots
from slipway.training.candidates import Candidate

from .background import Background, MixtureBackground, MotionRecipe
from .counting import Counts, count_interval, count_metrics
from .data import LIGHTS, Window, read_pictures, read_windows, relit
from .model import CountedCrossings, MotionCounter, MotionView, MovingObjects, to_small_gray

SEED = 3
WINDOWS = {each.name: each for each in read_windows()}
EXAMPLES = [
    MotionView(video=Path(__file__).with_name("road.mp4").read_bytes(), line=0.5, horizontal=True)
]
# Masks are shown this many frames after the light has changed.
AFTER = 6
METHODS = {
    "frame differencing": MotionRecipe(method="differencing", threshold=12),
    "running mean": MotionRecipe(method="mean"),
    "running Gaussian": MotionRecipe(),
    "Gaussian, light taken out": MotionRecipe(steadied=True),
    "OpenCV's MOG2": MotionRecipe(method="mog2"),
}


def score(*, predictions: list[MovingObjects], labels: list[CountedCrossings]) -> dict[str, float]:
    """Return the error of the counts with an interval over windows, and the baseline's."""
    found = np.array([(each.forward, each.backward) for each in predictions])
    baseline = np.array([(each.baseline_forward, each.baseline_backward) for each in labels])
    counts = Counts.from_labels(labels, found)
    low, high = count_interval(counts, SEED)
    metrics = count_metrics(counts, SEED)
    error = metrics.pop("count_error")
    del metrics["count_error_se"]
    return {
        "count_error": error,
        "count_error_low": low,
        "count_error_high": high,
        **metrics,
        "true_crossings": float(counts.crossings.sum()),
        "counted_crossings": float(found.sum()),
        "baseline_count_error": count_metrics(Counts.from_labels(labels, baseline), SEED)[
            "count_error"
        ],
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = MotionCounter()
    model.load(evaluation.weights)
    yield "tracks", tracks(model)
    yield "masks", masks()
    yield "light", light(evaluation.candidates)
    yield "counts", counts_by_window(evaluation)
    yield "speed", draw_speeds(json.loads(Path(__file__).with_name("speed.json").read_text()))


def pictures_of(window: Window) -> list[np.ndarray]:
    """Return the pictures of a window."""
    return list(read_pictures(fetch("vtest_pedestrians"), window))


def tracks(model: MotionCounter) -> Figure:
    """Draw a frame of three test windows, with tracks, line and counts so far."""
    shown = {"campus_3": 84, "road_2": 26, "room_2": 107}
    figure, (places,) = plt.subplots(1, 3, figsize=(8.4, 2.5), squeeze=False)
    for axes, (name, number) in zip(places, shown.items(), strict=True):
        window = WINDOWS[name]
        pictures = pictures_of(window)[: number + 1]
        view = MotionView(
            video=encode_clip(pictures, quality=16), line=window.line, horizontal=window.horizontal
        )
        (found,) = model.predict([view])
        height, width = pictures[-1].shape[:2]
        seen = [each for each in found.tracks if each.frame == number]
        # Few levels make a smaller file.
        draw_tracks(axes, pictures[-1] // 32 * 32 + 16, seen)
        if window.horizontal:
            axes.axhline(window.line * height, color="yellow", linewidth=1.2)
        else:
            axes.axvline(window.line * width, color="yellow", linewidth=1.2)
        ways = ("down", "up") if window.horizontal else ("right", "left")
        axes.set_title(f"{found.forward} {ways[0]}, {found.backward} {ways[1]}", fontsize=9)
    figure.suptitle("Test windows: moving things, their ways, and the counts at the line")
    return figure


def masks() -> Figure:
    """Draw the moving pixels that each method finds, in steady light and after a change."""
    pictures = pictures_of(WINDOWS["campus_2"])[:80]
    number = len(pictures) // 2 + AFTER
    figure, places = plt.subplots(2, 1 + len(METHODS), figsize=(11.4, 3.6))
    for row, name in zip(places, ("steady", "darker"), strict=True):
        scene = list(relit(pictures, name))[: number + 1]
        row[0].imshow(scene[-1])
        row[0].set_title("steady light" if name == "steady" else "suddenly darker", fontsize=9)
        for axes, (method, recipe) in zip(row[1:], METHODS.items(), strict=True):
            axes.imshow(last_mask(scene, recipe), cmap="gray", vmin=0, vmax=1)
            if name == "steady":
                axes.set_title(method, fontsize=8)
    for axes in places.flat:
        axes.axis("off")
    figure.suptitle(f"Moving pixels, and the same {AFTER} frames after the light has changed")
    return figure


def last_mask(pictures: list[np.ndarray], recipe: MotionRecipe) -> np.ndarray:
    """Return the mask of the last picture."""
    grays = [to_small_gray(each) for each in pictures]
    background: Background | MixtureBackground = Background.starting_with(grays[0], recipe)
    if recipe.method == "mog2":
        background = MixtureBackground(recipe)
    return [background.step(each) for each in grays][-1]


def light(tried: list[Candidate]) -> Figure:
    """Draw the error of each candidate in each light, on validation windows."""
    figure, (axes,) = plots.panels(1, height=4.6)
    figure.set_figwidth(8.4)
    values = {each: [one.metrics[f"count_error_{each}"] for one in tried] for each in LIGHTS}
    names = [each.name for each in tried]
    plots.bars(axes, names, values, "", horizontal=True, fmt="{:.2f}")
    axes.set_title("Error of the counts by light (validation windows, lower is better)")
    axes.set_xlabel("crossings missed or too many, for each true one", labelpad=2)
    axes.legend(loc="upper right", fontsize=8)
    return figure


def counts_by_window(evaluation: Evaluation) -> Figure:
    """Draw counted and true crossings of each test window, the light unchanged."""
    rows = [
        (label, found)
        for label, found in zip(evaluation.test.labels, evaluation.predictions, strict=True)
        if label.light == "steady"
    ]
    figure, axes = plots.panels(2, height=2.9)
    for place, way in zip(axes, ("forward", "backward"), strict=True):
        values = {
            "by eye": [getattr(label, way) for label, _ in rows],
            "counted": [getattr(found, way) for _, found in rows],
        }
        title = "To the right, or down" if way == "forward" else "To the left, or up"
        plots.bars(place, [label.window for label, _ in rows], values, title, fmt="{:.0f}")
        place.set_ylabel("crossings")
    return figure
