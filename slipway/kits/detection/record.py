"""Found objects, and pictures framed for the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway.contract import Record
from slipway.media import Box, decode_image, letterbox


class Detections(Record):
    """The objects in one picture, the surest first."""

    boxes: list[Box]


@dataclass(frozen=True)
class Placement:
    """The place of a picture in the frame that the network sees."""

    scale: float
    left: int
    top: int
    width: int
    """Width and height of the picture itself."""
    height: int
    frame: tuple[int, int]
    """Height and width of the frame."""

    def to_frame(self, boxes: np.ndarray) -> np.ndarray:
        """Return boxes (n, 4) of the picture in pixels of the frame."""
        return np.asarray(boxes * self.scale + self._offset)

    def to_picture(self, boxes: np.ndarray) -> np.ndarray:
        """Return boxes (n, 4) of the frame in pixels of the picture, cut off at its sides."""
        found = (boxes - self._offset) / self.scale
        return np.asarray(found.clip(0, (self.width, self.height, self.width, self.height)))

    @property
    def _offset(self) -> np.ndarray:
        return np.array([self.left, self.top, self.left, self.top], dtype=np.float64)


def frame_pixels(records: list[Any]) -> tuple[np.ndarray, list[Placement]]:
    """Return pixels (rows, channels, height, width) as bytes, and where each picture is in them.

    The pictures keep their proportions; grey fills the rest of the frame.
    """
    kind = type(records[0])
    batch = np.empty((len(records), *kind.shape()), dtype=np.uint8)
    placements = []
    for row, record in enumerate(records):
        picture = decode_image(record.image, kind.mode)
        frame, scale, (left, top) = letterbox(picture, kind.size)
        batch[row] = frame if frame.ndim == 2 else frame.transpose(2, 0, 1)
        height, width = picture.shape[:2]
        placements.append(Placement(scale, left, top, width, height, kind.size))
    return batch, placements


def frame_batch(records: list[Any]) -> tuple[dict[str, np.ndarray], list[Placement]]:
    """Return brightness (rows, channels, height, width) float32 from 0 to 1, and placements."""
    batch, placements = frame_pixels(records)
    images = batch.astype(np.float32)
    images /= 255
    return {"images": images}, placements
