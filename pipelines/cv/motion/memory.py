"""Background and tracks as the state that callers keep, and send back with the next picture."""

import zlib
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Record
from slipway.kits.tracking.state import TrackingState, remember_tracks
from slipway.kits.tracking.tracker import ObjectTracker

from .background import UNIT, Background, MotionRecipe

# The longer side at which pictures are compared; the state holds four bytes for each pixel.
SIDE = 256
# Compressed noise is hardly longer than what was compressed.
LONGEST = 2 * SIDE * SIDE + 1000


class MotionState(Record):
    """The background's mean and deviation for each pixel, and the tracks."""

    method: str = Field(pattern="^(differencing|mean|gaussian)$")
    height: int = Field(ge=1, le=SIDE)
    width: int = Field(ge=1, le=SIDE)
    frames: int = Field(ge=1, le=10_000)
    mean: bytes = Field(max_length=LONGEST)
    deviation: bytes = Field(max_length=LONGEST)
    tracking: TrackingState

    @model_validator(mode="after")
    def _complete(self) -> Self:
        pixels = self.height * self.width
        if any(len(unpacked(each)) != 2 * pixels for each in (self.mean, self.deviation)):
            raise ValueError("the background needs a mean and a deviation of each pixel")
        return self


def remember(background: Background, tracker: ObjectTracker) -> MotionState:
    """Return the state after a picture."""
    height, width = background.mean.shape
    return MotionState(
        method=background.recipe.method,
        height=height,
        width=width,
        frames=background.frames,
        mean=_packed(background.mean),
        deviation=_packed(background.deviation),
        tracking=remember_tracks(tracker),
    )


def resume_background(
    state: MotionState | None, recipe: MotionRecipe, shape: tuple[int, ...]
) -> Background | None:
    """Return the background that the state holds, if it is of this method and size."""
    if state is None or (state.height, state.width) != shape or state.method != recipe.method:
        return None
    mean, deviation = (
        np.frombuffer(unpacked(each), dtype="<u2").astype(np.float32) / np.float32(UNIT)
        for each in (state.mean, state.deviation)
    )
    return Background(recipe, mean.reshape(shape), deviation.reshape(shape), state.frames)


def _packed(values: np.ndarray) -> bytes:
    return zlib.compress(np.rint(values * UNIT).astype("<u2").tobytes(), 1)


def unpacked(data: bytes) -> bytes:
    """Return what was compressed, at most one byte more than a background may have.

    Raises:
        ValueError: the bytes were not compressed by zlib.
    """
    try:
        return zlib.decompressobj().decompress(data, 2 * SIDE * SIDE + 1)
    except zlib.error:
        raise ValueError("the background is damaged") from None
