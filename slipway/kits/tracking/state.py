"""The tracker's memory as state that callers keep; every number that comes back has limits."""

from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from slipway.contract import Record
from slipway.media import Box, Point, Track

from .tracker import (
    FASTEST,
    LARGEST,
    MOST_OBJECTS,
    TRAIL,
    FollowedObject,
    ObjectTracker,
    TrackingRules,
)

MOST = 10**9
# Near the limit of a count, tracking starts anew; a video adds fewer than this margin.
RENEWED = MOST - 10**6

Position = Annotated[float, Field(ge=-2 * LARGEST, le=2 * LARGEST)]
Length = Annotated[float, Field(gt=0, le=LARGEST)]
Velocity = Annotated[float, Field(ge=-FASTEST, le=FASTEST)]
Tally = Annotated[int, Field(ge=0, le=MOST)]


class ObjectState(Record):
    """One object: the filter's estimates, and where the center was."""

    id: Tally
    label: str = Field(max_length=40)
    x: Position
    y: Position
    width: Length
    height: Length
    x_speed: Velocity
    y_speed: Velocity
    hits: int = Field(ge=1, le=10_000)
    missed: int = Field(ge=0, le=1000)
    side: int = Field(ge=-1, le=1)
    trail: list[Position] = Field(min_length=2, max_length=2 * TRAIL)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.trail) % 2:
            raise ValueError("the trail needs an x and a y of each center")
        return self


class TrackingState(Record):
    """All objects of the frames so far, and the counts at the line."""

    width: int = Field(ge=1, le=LARGEST)
    height: int = Field(ge=1, le=LARGEST)
    next_id: Tally
    frames: Tally
    forward: Tally
    backward: Tally
    objects: list[ObjectState] = Field(max_length=MOST_OBJECTS)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        ids = [each.id for each in self.objects]
        if len(set(ids)) < len(ids) or max(ids, default=-1) >= self.next_id:
            raise ValueError("two objects have the same number, or the next one would")
        return self


def remember_tracks(tracker: ObjectTracker) -> TrackingState:
    """Return the state of a tracker, rounded to thousandths of a pixel."""
    return TrackingState(
        width=tracker.width,
        height=tracker.height,
        next_id=tracker.next_id,
        frames=tracker.frames,
        forward=tracker.forward,
        backward=tracker.backward,
        objects=[ObjectState(**_rounded(asdict(each))) for each in tracker.objects],
    )


def resume_tracks(
    state: TrackingState | None, width: int, height: int, rules: TrackingRules
) -> ObjectTracker:
    """Return a tracker that goes on where the state ends.

    It starts anew without a state, and if the frames have another size.
    """
    if state is None or (state.width, state.height) != (width, height):
        return ObjectTracker(width, height, rules)
    if max(state.next_id, state.frames, state.forward, state.backward) > RENEWED:
        return ObjectTracker(width, height, rules)
    counts = state.model_dump(exclude={"objects"})
    objects = [FollowedObject(**each.model_dump()) for each in state.objects]
    return ObjectTracker(**counts, rules=rules, objects=objects)


def tracks_in_view(seen: list[FollowedObject], size: tuple[int, int], frame: int) -> list[Track]:
    """Return objects with boxes inside of the picture (width, height), and their trails."""
    tracks = []
    for each in seen:
        corners = zip(each.box(), size * 2, strict=True)
        x1, y1, x2, y2 = (round(min(max(corner, 0), limit), 2) for corner, limit in corners)
        points = zip(each.trail[:-2:2], each.trail[1:-2:2], strict=True)
        trail = [Point(x=round(x, 1), y=round(y, 1)) for x, y in points]
        box = Box(x1=x1, y1=y1, x2=x2, y2=y2, label=each.label)
        tracks.append(Track(id=each.id, box=box, label=each.label, frame=frame, trail=trail))
    return tracks


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    rounded = {
        name: round(each, 3) if isinstance(each, float) else each for name, each in values.items()
    }
    return {**rounded, "trail": [round(each, 1) for each in values["trail"]]}
