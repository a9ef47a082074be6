"""The tracker's memory as the state that callers keep, and send back with the next frame.

It comes back from outside, so every number has limits: with any memory that is accepted, the
tracker works, and no memory is larger than what it writes itself.
"""

from itertools import chain
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Record

from .kalman import Motion
from .tracker import FASTEST, LARGEST, MOST_PEOPLE, MOST_VARIANCE, TRAIL, Person, Tracker

MOST = 10**9
# Near the limit of a count, tracking starts anew; a video adds fewer than this margin.
RENEWED = MOST - 10**6

Pixels = Annotated[float, Field(ge=-2 * LARGEST, le=2 * LARGEST)]
Side = Annotated[float, Field(gt=0, le=LARGEST)]
Speed = Annotated[float, Field(ge=-FASTEST, le=FASTEST)]
Variance = Annotated[float, Field(gt=0, le=MOST_VARIANCE)]
Covariance = Annotated[float, Field(ge=-MOST_VARIANCE, le=MOST_VARIANCE)]
Count = Annotated[int, Field(ge=0, le=MOST)]


class Followed(Record):
    """One person: the filter's estimates, and where the center was."""

    id: Count
    hits: int = Field(ge=1, le=10_000)
    missed: int = Field(ge=0, le=100)
    score: float = Field(ge=0, le=1)
    center: tuple[Pixels, Pixels]
    size: tuple[Side, Side]
    velocity: tuple[Speed, Speed, Speed, Speed]
    position_variance: tuple[Variance, Variance, Variance, Variance]
    covariance: tuple[Covariance, Covariance, Covariance, Covariance]
    velocity_variance: tuple[Variance, Variance, Variance, Variance]
    trail: list[Pixels] = Field(min_length=2, max_length=2 * TRAIL)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for one, both, other in zip(
            self.position_variance, self.covariance, self.velocity_variance, strict=True
        ):
            if both**2 > one * other:
                raise ValueError("no two numbers have such a covariance")
        if len(self.trail) % 2:
            raise ValueError("the trail needs an x and a y of each center")
        return self


class Memory(Record):
    """All people of the frames so far, and the counts at the line."""

    width: int = Field(ge=1, le=LARGEST)
    height: int = Field(ge=1, le=LARGEST)
    next_id: Count
    frames: Count
    to_left: Count
    to_right: Count
    people: list[Followed] = Field(max_length=MOST_PEOPLE)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        ids = [each.id for each in self.people]
        if len(set(ids)) < len(ids) or max(ids, default=-1) >= self.next_id:
            raise ValueError("two people have the same number, or the next one would")
        return self


def remember(tracker: Tracker) -> Memory:
    """Return the memory of a tracker, rounded to thousandths of a pixel."""
    motion = tracker.motion
    mean = np.round(motion.mean, 3)
    # Six digits, or rounded covariances could be impossible.
    spread = np.round(motion.covariance, 6)
    return Memory(
        width=tracker.width,
        height=tracker.height,
        next_id=tracker.next_id,
        frames=tracker.frames,
        to_left=tracker.to_left,
        to_right=tracker.to_right,
        people=[
            Followed(
                id=person.id,
                hits=person.hits,
                missed=person.missed,
                score=round(person.score, 4),
                center=mean[place, :2, 0].tolist(),
                size=mean[place, 2:, 0].tolist(),
                velocity=mean[place, :, 1].tolist(),
                position_variance=spread[place, :, 0, 0].tolist(),
                covariance=spread[place, :, 0, 1].tolist(),
                velocity_variance=spread[place, :, 1, 1].tolist(),
                trail=np.round(list(chain(*person.trail)), 1).tolist(),
            )
            for place, person in enumerate(tracker.people)
        ],
    )


def resume(memory: Memory | None, width: int, height: int) -> Tracker:
    """Return a tracker that goes on where the memory ends.

    It starts anew without a memory, and if the frames have another size.
    """
    if memory is None or (memory.width, memory.height) != (width, height):
        return Tracker(width, height)
    if max(memory.next_id, memory.frames, memory.to_left, memory.to_right) > RENEWED:
        return Tracker(width, height)
    people = memory.people
    mean = np.array([[(*each.center, *each.size), each.velocity] for each in people])
    spread = np.array(
        [(each.position_variance, each.covariance, each.velocity_variance) for each in people]
    ).reshape(-1, 3, 4)
    covariance = spread[:, [0, 1, 1, 2]].transpose(0, 2, 1).reshape(-1, 4, 2, 2)
    return Tracker(
        width,
        height,
        people=[
            Person(
                each.id,
                each.hits,
                each.missed,
                each.score,
                list(zip(each.trail[::2], each.trail[1::2], strict=True)),
            )
            for each in people
        ],
        motion=Motion(mean.reshape(-1, 2, 4).transpose(0, 2, 1).copy(), covariance),
        next_id=memory.next_id,
        frames=memory.frames,
        to_left=memory.to_left,
        to_right=memory.to_right,
    )
