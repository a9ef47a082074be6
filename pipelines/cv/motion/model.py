"""What moves in front of this fixed camera, and how many cross a line in each direction?

Data: vtest.avi of OpenCV (people on a campus) and two clips of Intel (cars on a road, people in a
room). The crossings were counted by looking at the frames, see counts.json.
Task: find moving things, give each the same number in every frame, and count crossings. Windows of
the clips are compared with the counts; later windows, after a gap, are the test. Sudden changes of
light are simulated on the real clips.
Model: the difference from a background that is learned from frame to frame, morphology, connected
regions, and an alpha-beta filter. No learned weights: the method is chosen by the earlier windows.
The memory is in the caller's hands. One test figure of earlier trainings had been seen when the
last one was started; no method, threshold or window was changed after it.
Limits: the camera must stand still. Who walks closely behind another counts as one; who stands
still fades into the background. It counts movement, not people, and must not be used to watch or to
judge anyone. Few crossings were counted, so the figures are rough.
"""

import json
from pathlib import Path
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.kits.tracking.camera import CameraRecord, shrunk
from slipway.kits.tracking.regions import find_regions
from slipway.kits.tracking.state import resume_tracks, tracks_in_view
from slipway.kits.tracking.tracker import CountingLine, TrackingRules
from slipway.media import State, Track, decode_state, encode_state

from .background import Background, MixtureBackground, MotionRecipe
from .memory import SIDE, MotionState, remember, resume_background

RULES = TrackingRules(max_missed=8, reach=1.2)


class MotionView(CameraRecord):
    """A picture or a video of a fixed camera, and the state after the pictures before."""

    state: Annotated[bytes | None, State(content=MotionState, max_bytes=600_000)] = None
    method: str = Field(
        default="auto",
        pattern="^(auto|differencing|mean|gaussian|mog2)$",
        description="auto: the chosen one; mog2 is OpenCV's, for videos only",
    )
    line: float = Field(
        default=0.5, ge=0, le=1, description="The line's place, as a share of the width or height"
    )
    horizontal: bool = Field(default=False, description="Count up and down, not left and right")
    min_area: float = Field(
        default=0.0012, ge=0, le=1, description="Smallest moving thing, as a share of the picture"
    )

    @model_validator(mode="after")
    def _mixture_needs_a_video(self) -> Self:
        if self.method == "mog2" and self.video is None:
            raise ValueError("method: mog2 needs a video, since its memory cannot be sent back")
        return self


class MovingObjects(Record):
    """The moving things in view, the counts, and the state to send with the next picture."""

    tracks: list[Track] = Field(description="One for each moving thing in each frame")
    objects: int = Field(ge=0, description="Moving things in the last frame")
    forward: int = Field(ge=0, description="Crossings to the right, or downwards")
    backward: int = Field(ge=0, description="Crossings to the left, or upwards")
    moving_share: float = Field(ge=0, le=1, description="Moving pixels of the last frame")
    frames: int = Field(ge=0, description="Frames since the state began")
    state: Annotated[bytes | None, State(content=MotionState, max_bytes=600_000)] = None


class CountedCrossings(Record):
    """Crossings of a window that were counted by eye, and those that the baseline counts."""

    forward: int
    backward: int
    window: str
    light: str
    baseline_forward: int
    baseline_backward: int


def recipe_of(view: MotionView, chosen: MotionRecipe) -> MotionRecipe:
    """Return the chosen recipe, or that of the requested method."""
    if view.method in ("auto", chosen.method):
        return chosen
    # Differences between two frames are smaller than those from a background.
    threshold = 12.0 if view.method == "differencing" else chosen.threshold
    return chosen.model_copy(update={"method": view.method, "threshold": threshold})


def to_small_gray(picture: np.ndarray) -> np.ndarray:
    """Return the gray picture at which backgrounds are compared, as float32, slightly smoothed."""
    gray = cv2.cvtColor(shrunk(picture, SIDE), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(gray, (3, 3), 0), dtype=np.float32)


def follow_motion(view: MotionView, chosen: MotionRecipe) -> MovingObjects:
    """Return what moves in a picture or in a video, whose frames are in memory one at a time."""
    recipe = recipe_of(view, chosen)
    state = decode_state(view.state, MotionState) if view.state else None
    background: Background | MixtureBackground | None = None
    tracker, line, tracks, last = None, None, [], []
    moving = np.zeros((1, 1), dtype=bool)
    for number, picture in view.pictures():
        gray, (height, width) = to_small_gray(picture), picture.shape[:2]
        if background is None or tracker is None:
            known = resume_background(state, recipe, gray.shape)
            before = state.tracking if state and known else None
            tracker = resume_tracks(before, width, height, RULES)
            place = view.line * (height if view.horizontal else width)
            line = CountingLine(place, view.horizontal)
            if recipe.method == "mog2":
                background = MixtureBackground(recipe)
            else:
                background = known or Background.starting_with(gray, recipe)
        moving = background.step(gray)
        boxes = find_regions(moving, max(view.min_area * gray.size, 1)).boxes
        scale = np.array([width / gray.shape[1], height / gray.shape[0]] * 2)
        seen = tracker.step(boxes * scale, ["moving"] * len(boxes), line)
        last = tracks_in_view(seen, (width, height), number)
        tracks += last
    assert tracker is not None  # a video without a frame is refused
    return MovingObjects(
        tracks=tracks,
        objects=len(last),
        forward=tracker.forward,
        backward=tracker.backward,
        moving_share=round(float(moving.mean()), 6),
        frames=tracker.frames,
        state=encode_state(remember(background, tracker))
        if isinstance(background, Background)
        else None,
    )


class MotionCounter(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen recipe."""
        self._recipe = MotionRecipe(**json.loads((weights / "recipe.json").read_text()))

    def predict(self, model_input: list[MotionView]) -> list[MovingObjects]:
        return [follow_motion(each, self._recipe) for each in model_input]

    def monitoring_features(
        self, records: list[MotionView], predictions: list[MovingObjects]
    ) -> dict[str, np.ndarray]:
        """Return objects in view, moving pixels, and the first brightness, (rows,) each."""
        return {
            "objects": np.array([each.objects for each in predictions], dtype=np.float64),
            "moving_share": np.array([each.moving_share for each in predictions]),
            "brightness": np.array([each.brightness() for each in records]),
        }


publish(MotionCounter())
