"""Records that hold a picture of a camera, or a whole video, read one frame at a time."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Record
from slipway.media import Image, Video, decode_frames, decode_image


class CameraRecord(Record):
    """A picture or a video; subclasses add the state after the pictures before."""

    image: Annotated[bytes | None, Image(max_side=4096, capture=True)] = None
    video: Annotated[bytes | None, Video(max_seconds=120, max_frames=3600, capture=True)] = None
    every: int = Field(
        default=1, ge=1, le=30, description="Of a video, every this many frames are looked at"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image is None) == (self.video is None):
            raise ValueError("send either image or video")
        return self

    def pictures(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield number and pixels (height, width, 3) of each picture, one in memory at a time."""
        if self.image is not None:
            yield 0, decode_image(self.image)
        elif self.video is not None:
            with closing(decode_frames(self.video, every=self.every)) as frames:
                for number, picture in enumerate(frames):
                    yield number * self.every, picture

    def brightness(self) -> float:
        """Return the mean brightness of the first picture, from 0 to 1."""
        pictures = self.pictures()
        _, first = next(pictures)
        pictures.close()  # type: ignore[attr-defined]
        return float(first.mean() / 255)


def shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture whose longer side is at most `side`, by the mean of each area."""
    height, width = picture.shape[:2]
    longer = max(height, width)
    if longer <= side:
        return picture
    size = max(1, round(width * side / longer)), max(1, round(height * side / longer))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
