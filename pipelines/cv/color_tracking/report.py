"""Score tracks against the known ones, and show tracks, masks, the effect of light, and a film."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.kits.tracking.clips import encode_clip
from slipway.kits.tracking.drawing import draw_speeds, draw_tracks
from slipway.kits.tracking.metrics import TrackingTotals, count_tracks
from slipway.kits.tracking.regions import closed
from slipway.media import Track
from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .data import clips
from .model import ColoredObjects, ColorRange, ColorTracking, ColorView, KnownTracks
from .scenes import LIGHTS, RATE, draw_scene, make_scene
from .thresholds import NAMED, ColorRecipe, clean, in_range, normalize, range_around

SEED = 17
COLORS = {**NAMED, "red or orange": NAMED["red"]}
# Frames of the film with red lamps and an orange sign: one shot.
SHOT = range(84, 126)


def example_clip() -> bytes:
    """Return 24 frames of a scene whose light gets dimmer."""
    scene = make_scene(np.random.default_rng(SEED), "dimming")
    pictures = [picture for picture, _ in draw_scene(scene)]
    return encode_clip(pictures[:24], rate=RATE, quality=28)


CLIP = example_clip()
# All send a video: the Open Inference Protocol has no missing values inside of a tensor.
EXAMPLES = [ColorView(video=CLIP), ColorView(video=CLIP, colors=["red", "blue"], every=2)]


def score(*, predictions: list[ColoredObjects], labels: list[KnownTracks]) -> dict[str, float]:
    """Return the tracking metrics of all clips, with an interval over clips, and by light."""
    totals = [
        count_tracks(label.tracks, each.tracks)
        for label, each in zip(labels, predictions, strict=True)
    ]
    baseline = [_totals(each.baseline) for each in labels]

    def idf1(rows: np.ndarray) -> float:
        return _metrics([totals[row] for row in rows])["idf1"]

    low, high = bootstrap_interval(idf1, len(totals), seed=SEED)
    metrics = _metrics(totals)
    lights = np.array([each.light for each in labels])
    by_light = {f"idf1_{each}": np.flatnonzero(lights == each) for each in LIGHTS}
    return {
        "idf1": metrics["idf1"],
        "idf1_low": low,
        "idf1_high": high,
        **{name: value for name, value in metrics.items() if name != "idf1"},
        "switches_a_clip": metrics["identity_switches"] / len(totals),
        **{name: idf1(rows) for name, rows in by_light.items() if len(rows)},
        "baseline_idf1": _metrics(baseline)["idf1"],
        "baseline_mota": _metrics(baseline)["mota"],
    }


def _metrics(totals: list[TrackingTotals]) -> dict[str, float]:
    return sum(totals, TrackingTotals()).metrics()


def _totals(values: list[float]) -> TrackingTotals:
    true_boxes, found_boxes, hits, switches, identified = (int(each) for each in values[:5])
    return TrackingTotals(true_boxes, found_boxes, hits, switches, identified, values[5])


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = ColorTracking()
    model.load(evaluation.weights)
    yield "tracks", tracks(model)
    yield "masks", masks()
    yield "light", light(evaluation)
    yield "film", film(model)
    yield "speed", draw_speeds(json.loads(Path(__file__).with_name("speed.json").read_text()))


def tracks(model: ColorTracking) -> Figure:
    """Draw frames of a clip of another seed than all splits, with boxes, numbers and trails."""
    view, _ = list(clips(2, SEED))[1]
    return _frames(model, view, (10, 24, 40), "A clip that gets dimmer: objects with their ways")


def film(model: ColorTracking) -> Figure:
    """Draw frames of a shot of the real film, in which two colors are followed."""
    whole = ColorView(video=fetch("bikes_clip").path("bikes.mp4").read_bytes())
    shot = [picture for number, picture in whole.pictures() if number in SHOT]
    lamps = ColorRange(
        label="red or orange", hue_from=340, hue_to=24, min_saturation=0.6, min_value=0.6
    )
    view = ColorView(
        video=encode_clip(shot, rate=25, quality=14), ranges=[lamps], radius=1, normalized=False
    )
    return _frames(model, view, (5, 20, 38), "A real film: what is red or orange")


def _frames(model: ColorTracking, view: ColorView, shown: tuple[int, ...], title: str) -> Figure:
    (found,) = model.predict([view])
    pictures = {number: picture for number, picture in view.pictures() if number in shown}
    height, width = next(iter(pictures.values())).shape[:2]
    figure, (places,) = plt.subplots(
        1, len(shown), figsize=(9.2, 0.5 + 3.07 * height / width), squeeze=False
    )
    for axes, (number, picture) in zip(places, pictures.items(), strict=True):
        seen = [each for each in found.tracks if each.frame == number]
        draw_tracks(axes, picture, seen, colors=_track_colors(seen))
        axes.set_title(f"frame {number}", fontsize=9)
    figure.suptitle(title)
    return figure


def _track_colors(seen: list[Track]) -> dict[int, str]:
    """Return the color of each track's label, light enough for dark pictures."""
    return {each.id: COLORS[each.label] for each in seen}


def masks() -> Figure:
    """Draw how the mask of one color is made, step by step."""
    scene = make_scene(np.random.default_rng(SEED + 2), "warm")
    picture = [picture for picture, _ in draw_scene(scene)][30]
    limits = range_around("red", ColorRecipe())
    raw, normalized = (
        in_range(cv2.cvtColor(each, cv2.COLOR_RGB2HSV), limits)
        for each in (picture, normalize(picture))
    )
    steps = {
        "frame in warm light": picture,
        "thresholds alone": raw,
        "light normalized": normalize(picture),
        "thresholds": normalized,
        "gaps closed": closed(normalized, 2),
        "specks removed (opened)": clean(normalized, 2),
    }
    figure, places = plt.subplots(2, 3, figsize=(6.6, 3.9))
    for axes, (title, image) in zip(places.flat, steps.items(), strict=True):
        _show(axes, image, title)
    figure.suptitle("The way to the mask of red")
    return figure


def _show(axes: Axes, image: np.ndarray, title: str) -> None:
    # Without noise and with few levels, the file is smaller.
    shown = image if image.ndim == 2 else cv2.medianBlur(image, 5) // 16 * 16
    axes.imshow(shown, cmap="gray", interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def light(evaluation: Evaluation) -> Figure:
    """Draw the identity score of some candidates by the kind of light, on validation clips."""
    names = ["baseline", "hsv", "hsv_opened_2", "normalized_2"]
    figure, (axes,) = plots.panels(1, height=3.2)
    figure.set_figwidth(8)
    by_name = {each.name: each.metrics for each in evaluation.candidates}
    lights = [each for each in LIGHTS if f"idf1_{each}" in by_name[names[0]]]
    shades = ("#b8c4cc", "#6f8fa6", "#0b7189", "#24323f")
    values = {name: [by_name[name][f"idf1_{each}"] for each in lights] for name in names}
    plots.bars(axes, lights, values, "", colours=shades, fmt="{:.2f}")
    axes.set(
        title="Identity score (IDF1) by light, validation clips", xlabel="light", ylabel="IDF1"
    )
    axes.set_ylim(0, 1.25)
    return figure
