"""Which digits are in this picture, and where?

Data: pictures of 64x64 pixels with two to four handwritten digits, put together from 1,797 digits.
Task: detection; a box is right if it overlaps that of the same digit by half.
Model: a convolutional network that says for each cell of 4x4 pixels whether a digit's middle is
there and how far its sides are, as ONNX.
Limits: a starting point; it knows light digits of about 16 pixels on a dark background.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, publish
from slipway.kits.detection.decode import decode_boxes
from slipway.kits.detection.record import Detections, frame_batch
from slipway.kits.images import ImageRecord

LABELS = tuple("0123456789")
STRIDE = 4


class Picture(ImageRecord, size=(64, 64), max_side=2048):
    """A picture with digits, light on black."""

    min_score: float = Field(default=0.3, ge=0.05, le=1, description="The least score of a box")


class Digits(Detections):
    """The digits that were found."""


def decode(pictures: list[Picture], outputs: dict[str, np.ndarray]) -> list[Digits]:
    """Return predictions, given the network's outputs."""
    _, placements = frame_batch(pictures)
    rows = zip(pictures, outputs["heat"], outputs["sides"], placements, strict=True)
    return [
        Digits(boxes=decode_boxes(heat, sides, placed, LABELS, min_score=picture.min_score))
        for picture, heat, sides, placed in rows
    ]


class Skeleton(OnnxModel):
    def predict(self, model_input: list[Picture]) -> list[Digits]:
        feeds, _ = frame_batch(model_input)
        return decode(model_input, self.run(feeds))


publish(Skeleton())
