"""The model's response, and how it follows from the lines of the last frame."""

from typing import Annotated

from pydantic import Field

from slipway.contract import Record
from slipway.media import Image, Point, State, Video

from .edges import Region
from .following import LaneState
from .lines import SIDES, Lines, end_rows


class LaneLine(Record):
    """A line of the lane in one frame, from far away to the bottom of the picture."""

    label: str = Field(description="left or right")
    frame: int = Field(ge=0, description="Number of the frame in its video, from 0")
    confidence: float = Field(ge=0, le=1, description="Share of the line on which there is paint")
    points: list[Point] = Field(description="The far end and the near one, in pixels")


class Lanes(Record):
    """The lane's lines in each frame, the drawn result, and the state for the next picture."""

    message: str
    video: Annotated[bytes | None, Video(max_seconds=3600, max_frames=3600)] = Field(
        description="The video with the lane, at most 640 pixels a side"
    )
    picture: Annotated[bytes, Image(formats=("JPEG",))] = Field(
        description="The picture, or the last frame of a video, with the lane"
    )
    lane_width: float = Field(
        ge=0, description="At the bottom of the last frame, as a share of its width; 0: no lane"
    )
    offset: float = Field(
        description="How far the picture's middle is right of the lane's, in lane widths"
    )
    lines: list[LaneLine] = Field(description="At most two for each frame")
    edge_share: float = Field(ge=0, le=1, description="Edges among the last frame's road pixels")
    frames: int = Field(ge=0, description="Frames since the state began")
    state: Annotated[bytes, State(content=LaneState)]


def lane_lines(
    lines: Lines, frame: int, shape: tuple[int, ...], small: tuple[int, ...], region: Region
) -> list[LaneLine]:
    """Return the lines in the pixels of the picture that was sent, from those of the small one."""
    across, down = shape[1] / small[1], shape[0] / small[0]
    rows = end_rows(small[0], region)
    return [
        LaneLine(
            label=side,
            frame=frame,
            confidence=round(line.confidence, 4),
            points=[
                Point(x=round(x * across, 2), y=round(y * down, 2))
                for x, y in zip((line.top, line.bottom), rows, strict=True)
            ],
        )
        for side, line in lines.items()
    ]


def lane_position(lines: Lines, width: int) -> tuple[float, float]:
    """Return the lane's width as a share of the picture's, and the offset of the picture's middle.

    Both are at the bottom of the picture, and 0 unless both lines are known.
    """
    if len(lines) < len(SIDES):
        return 0.0, 0.0
    left, right = lines["left"].bottom, lines["right"].bottom
    lane = max(right - left, 1.0)
    return round(lane / width, 5), round((width / 2 - (left + right) / 2) / lane, 5)


def message(lines: Lines, offset: float) -> str:
    """Say what was found in the last frame."""
    if not lines:
        return "No lane found."
    if len(lines) < len(SIDES):
        return f"Only the {next(iter(lines))} line was found."
    side = "right" if offset > 0 else "left"
    share = f"{abs(offset):.0%} of the lane's width"
    return f"Both lines found; the camera is {share} {side} of its middle."
