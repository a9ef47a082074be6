"""Where are the two lines of the lane in which this car drives?

Data: a clip of 221 frames and 14 pictures of a motorway in California by daylight (Udacity, MIT),
32 frames and the pictures marked by hand, see marks.json; dusk, shadows and a pale road are
simulated on the clip's frames.
Task: find the left and the right line of the car's own lane, extended to the bottom of the picture,
in pictures, videos and successive frames of a camera. Marked windows of the clip choose the method;
later ones, after a gap, and pictures of other places are the test.
Model: edges of paint by Canny's method, a Hough transform, least squares, and smoothing over
frames. No learned weights; the memory is in the caller's hands. Figures of a prototype on all
marked pictures had been seen before conditions, tolerance, division and confidence were set.
Limits: lines are straight, so in curves they leave the road far away; seams beside the paint can
mislead it. One region, one camera, dry weather and daylight. Rain, night, snow, junctions and
missing paint were never tested: it must not steer or warn.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.kits.tracking.camera import CameraRecord, shrunk
from slipway.media import State, decode_state, encode_jpeg, encode_state
from slipway.media.frames import read_video_header

from .drawing import VideoWriter, drawn
from .edges import Region
from .following import LaneState, remember, resume
from .lines import LaneRecipe, Lines
from .response import LaneLine, Lanes, lane_lines, lane_position, message

# Larger pictures are made smaller before lines are looked for.
SIDE = 640
MOST_RATE = 60


class RoadView(CameraRecord):
    """A picture or a video from behind the windscreen, and the state after the pictures before."""

    state: Annotated[bytes | None, State(content=LaneState)] = None
    mask: str = Field(
        default="auto",
        pattern="^(auto|gray|color|local)$",
        description="Edges of what: everything, white and yellow, or what differs from the road",
    )
    top: float = Field(
        default=0.62, ge=0, le=0.9, description="Where the road begins, as a share of the height"
    )
    bottom: float = Field(
        default=0.93, ge=0.1, le=1, description="Where the car's bonnet begins, or 1"
    )
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="Less certain lines are left out; default: chosen"
    )
    smoothing: float | None = Field(
        default=None,
        ge=0,
        le=0.95,
        description="How much of the lines before is kept in each frame; default: chosen",
    )

    @model_validator(mode="after")
    def _has_rows(self) -> "RoadView":
        if self.bottom < self.top + 0.05:
            raise ValueError("bottom: must be at least 0.05 more than top")
        return self


class MarkedFrame(Record):
    """Marks of one frame by hand: x of both lines at fixed heights, as shares of the width."""

    frame: int
    left: list[float | None]
    right: list[float | None]


class MarkedRoad(Record):
    """The marks of a video or picture; without frames, it shows no lane."""

    place: str = Field(description="Rows of one place are dependent on each other")
    source: str = Field(description="clip, picture, harder or no_lane")
    condition: str
    width: int
    height: int
    frames: list[MarkedFrame]
    baseline: MarkedFrame = Field(description="Mean positions of the training marks")
    opencv: list[MarkedFrame] = Field(description="What OpenCV's longest segments say")


def recipe_of(view: RoadView, chosen: LaneRecipe) -> LaneRecipe:
    """Return the chosen recipe, with what the request says otherwise."""
    changes: dict[str, object] = {}
    if view.mask != "auto":
        changes["mask"] = view.mask
    if view.min_confidence is not None:
        changes["min_confidence"] = view.min_confidence
    if view.smoothing is not None:
        changes["rate"] = 1 - view.smoothing
    return chosen.model_copy(update=changes)


def follow_lane(view: RoadView, chosen: LaneRecipe) -> Lanes:
    """Return the lane in a picture or in a video, whose frames are in memory one at a time."""
    region = Region(view.top, view.bottom)
    state = decode_state(view.state, LaneState) if view.state else None
    follower = resume(state, recipe_of(view, chosen), region)
    found: list[LaneLine] = []
    last, small = Lines(), np.zeros((1, 1, 3), np.uint8)
    writer = VideoWriter(frame_rate(view)) if view.video is not None else None
    for number, picture in view.pictures():
        small = shrunk(picture, SIDE)
        last = follower.step(small)
        found += lane_lines(last, number, picture.shape, small.shape, region)
        if writer is not None:
            writer.add(drawn(small, last, region))
    width, offset = lane_position(last, small.shape[1])
    return Lanes(
        message=message(last, offset),
        video=writer.close() if writer is not None else None,
        picture=encode_jpeg(drawn(small, last, region)),
        lane_width=width,
        offset=offset,
        lines=found,
        edge_share=round(follower.edge_share, 6),
        frames=follower.frames,
        state=encode_state(remember(follower)),
    )


def frame_rate(view: RoadView) -> int:
    """Return the frames a second of the drawn video, so that it lasts as long as the one sent."""
    header = read_video_header(view.video or b"")
    rate = header.frames / max(header.seconds, 1e-3) / view.every
    return int(np.clip(round(rate), 1, MOST_RATE))


class LaneFinder(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen recipe."""
        self._recipe = LaneRecipe(**json.loads((weights / "recipe.json").read_text()))

    def predict(self, model_input: list[RoadView]) -> list[Lanes]:
        return [follow_lane(each, self._recipe) for each in model_input]

    def monitoring_features(
        self, records: list[RoadView], predictions: list[Lanes]
    ) -> dict[str, np.ndarray]:
        """Return brightness, edges, lane width, and the mean confidence of all lines, (rows,)."""
        confidences = [[line.confidence for line in each.lines] for each in predictions]
        return {
            "brightness": np.array([each.brightness() for each in records]),
            "edge_share": np.array([each.edge_share for each in predictions]),
            "lane_width": np.array([each.lane_width for each in predictions]),
            "confidence": np.array([float(np.mean(each or [0.0])) for each in confidences]),
        }


publish(LaneFinder())
