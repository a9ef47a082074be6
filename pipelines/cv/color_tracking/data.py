"""Clips that the project draws, with their true tracks; training and test have other seeds."""

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np

from slipway.datasets import Dataset
from slipway.kits.tracking.clips import encode_clip
from slipway.kits.tracking.metrics import count_tracks

from .model import ColorView, KnownTracks, follow_colors
from .scenes import FRAMES, LIGHTS, RATE, draw_scene, make_scene
from .thresholds import ColorRecipe

# What a first attempt would do: red, green and blue near enough to those of the color.
BASELINE = ColorRecipe(space="rgb", tolerance=80)


def splits(
    dataset: Dataset, *, seed: int, train: int, test: int, frames: int
) -> dict[str, Iterator[tuple[ColorView, KnownTracks]]]:
    """Return `train` and `test` clips. The data set is a real film, shown in the report only."""
    return {"train": clips(train, seed, frames), "test": clips(test, seed + 1, frames)}


def clips(count: int, seed: int, length: int = FRAMES) -> Iterator[tuple[ColorView, KnownTracks]]:
    """Yield clips, all kinds of light in turn."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        light = LIGHTS[number % len(LIGHTS)]
        frames = list(draw_scene(make_scene(generator, light), length))
        view = ColorView(
            video=encode_clip([picture for picture, _ in frames], rate=RATE, quality=24)
        )
        tracks = [track for _, boxes in frames for track in boxes]
        totals = count_tracks(tracks, follow_colors(view, BASELINE).tracks)
        baseline = [float(each) for each in astuple(totals)]
        yield view, KnownTracks(tracks=tracks, light=light, baseline=baseline)
