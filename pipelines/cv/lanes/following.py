"""Lines from frame to frame: smoothed, kept for a moment when they are lost, and as state."""

from dataclasses import asdict, dataclass, field, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from slipway.contract import Record

from .edges import Region
from .lines import SIDES, LaneRecipe, Line, Lines, find_lines

# A lost line is kept; its confidence is multiplied by this in each frame, until it is too low.
FADING, LEAST_KEPT = 0.9, 0.1
# A line that is so far away, as a share of the width, must be more certain than the known one.
JUMP = 0.06
MOST_FRAMES = 10**9

Place = Annotated[float, Field(ge=-4, le=5)]


class LineState(Record):
    """A line, as shares of the width."""

    top: Place
    bottom: Place
    confidence: float = Field(ge=0, le=1)


class LaneState(Record):
    """The lines after some frames, and the rows between which they were found."""

    frames: int = Field(ge=0, le=MOST_FRAMES)
    top: float = Field(ge=0, le=1)
    left: LineState | None
    right: LineState | None


@dataclass
class LaneFollower:
    """Finds the lines of one picture after the other."""

    recipe: LaneRecipe
    region: Region
    lines: Lines = field(default_factory=dict)
    """As shares of the width."""
    frames: int = 0
    edge_share: float = 0.0
    """Edges in the last picture, of the region's pixels."""

    def step(self, picture: np.ndarray) -> Lines:
        """Return the lines of the next picture (height, width, 3), in its pixels."""
        found, edges = find_lines(picture, self.recipe, self.region)
        inside = self.region.mask(picture.shape).sum()
        self.edge_share = float(edges.sum() / max(inside, 1))
        return self.add(found, picture.shape[1])

    def add(self, found: Lines, width: int) -> Lines:
        """Return the lines after those of the next picture, both in its pixels."""
        before, self.lines = self.lines, {}
        for side in SIDES:
            new = found.get(side)
            if new is not None and new.confidence < self.recipe.min_confidence:
                new = None
            line = self._merged(before.get(side), new and scaled(new, 1 / width))
            if line is not None:
                self.lines[side] = line
        self.frames = min(self.frames + 1, MOST_FRAMES)
        return {side: scaled(line, width) for side, line in self.lines.items()}

    def _merged(self, known: Line | None, new: Line | None) -> Line | None:
        """Return the line after a frame, from that before and the one found now."""
        if known is None or self.recipe.rate >= 1:
            return new
        faded = replace(known, confidence=known.confidence * FADING)
        if new is None:
            least = max(LEAST_KEPT, self.recipe.min_confidence)
            return faded if faded.confidence >= least else None
        if abs(new.bottom - known.bottom) > JUMP or abs(new.top - known.top) > JUMP:
            return new if new.confidence > faded.confidence else faded
        rate = self.recipe.rate
        mixed = {
            name: (1 - rate) * value + rate * getattr(new, name)
            for name, value in asdict(known).items()
        }
        return Line(**mixed)


def scaled(line: Line, factor: float) -> Line:
    """Return a line in other units."""
    return Line(line.top * factor, line.bottom * factor, line.confidence)


def remember(follower: LaneFollower) -> LaneState:
    """Return the state after a picture, rounded."""
    states = {
        side: LineState(**{name: round(value, 5) for name, value in asdict(line).items()})
        for side, line in follower.lines.items()
    }
    return LaneState(
        frames=follower.frames,
        top=follower.region.top,
        left=states.get("left"),
        right=states.get("right"),
    )


def resume(state: LaneState | None, recipe: LaneRecipe, region: Region) -> LaneFollower:
    """Return a follower that goes on where the state ends, if it is of the same region."""
    if state is None or state.top != region.top:
        return LaneFollower(recipe, region)
    known = zip(SIDES, (state.left, state.right), strict=True)
    lines = {side: Line(**line.model_dump()) for side, line in known if line}
    return LaneFollower(recipe, region, lines, state.frames)
