"""What does this picture look like after resizing, cropping, rotating, recoloring or filtering?

Data: 28 photographs and drawings that come with OpenCV (Apache-2.0) and scikit-image (CC0 or in
the public domain); crops of them with random operations. OpenCV's result is the ground truth.
Task: apply a list of operations to a picture, and write it as PNG, JPEG, BMP or WEBP.
Model: own NumPy code, no learned weights. The arithmetic is chosen on training pictures: OpenCV's
fixed-point numbers give its very digits, real numbers differ in the last one. One core of a busy
server halves, sharpens and writes 35 JPEG pictures of 640 x 480 a second.
Limits: 8 bits a channel, without transparency; color profiles are ignored. Results have up to 4
million pixels. Lab is not converted back. HSV to RGB is rounded where OpenCV cuts digits off, so it
may differ by one level; sharpening equals OpenCV's on processors with fused multiplication only.
"""

import json
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.media import Image, decode_image

from .formats import encode
from .operations import Canvas, Operation, apply, plan

ACCEPTED = ("PNG", "JPEG", "BMP", "WEBP")
# Candidates: arithmetic by name.
ARITHMETIC = {"baseline": False, "fixed_point": True}


class Edit(Record):
    """A picture and what to do with it."""

    image: Annotated[bytes, Image(max_side=4096, formats=ACCEPTED, capture=True)]
    operations: list[Operation] = Field(
        default=[], max_length=8, description="Applied in order; none only changes the format"
    )
    format: str = Field(default="png", pattern="^(png|jpeg|bmp|webp)$")
    quality: int = Field(default=90, ge=1, le=100, description="Of JPEG and WEBP")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        plan(self.operations, Canvas(*decode_image(self.image).shape[:2]))
        return self


class Expected(Record):
    """OpenCV's result for the same picture and operations, losslessly."""

    image: Annotated[bytes, Image()]
    kind: str
    textbook_largest: int = Field(ge=0, description="Largest difference of real-number arithmetic")


class Edited(Record):
    """The picture after all operations."""

    image: Annotated[bytes, Image(formats=ACCEPTED)]
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    colors: str = Field(description="Color space of the channels: rgb, bgr, gray, hsv or lab")
    done: list[str] = Field(description="Each operation with the size that it left")


class ImageToolkit(Model):
    def load(self, weights: Path) -> None:
        """Read which arithmetic was chosen."""
        self._fixed = ARITHMETIC[json.loads((weights / "method.json").read_text())["method"]]

    def predict(self, model_input: list[Edit]) -> list[Edited]:
        return [
            edited(each, apply(decode_image(each.image), each.operations, fixed=self._fixed))
            for each in model_input
        ]

    def monitoring_features(
        self, records: list[Edit], predictions: list[Edited]
    ) -> dict[str, np.ndarray]:
        """Return brightness, size in megapixels, operations and the size's change, (rows,) each."""
        images = [decode_image(each.image) for each in records]
        pixels = np.array([image.shape[0] * image.shape[1] for image in images], dtype=np.float64)
        after = np.array([each.width * each.height for each in predictions], dtype=np.float64)
        return {
            "brightness": np.array([image.mean() / 255 for image in images]),
            "megapixels": pixels / 1e6,
            "operations": np.array([len(each.operations) for each in records], dtype=np.float64),
            "size_change": after / pixels,
        }


def edited(edit: Edit, result: np.ndarray) -> Edited:
    """Return the response to an edit, given the pixels of its result."""
    stages = plan(edit.operations, Canvas(*decode_image(edit.image).shape[:2]))
    return Edited(
        image=encode(result, edit.format, edit.quality),
        width=result.shape[1],
        height=result.shape[0],
        colors=stages[-1].space,
        done=[
            f"{operation.name}: {after.width} x {after.height}"
            for operation, after in zip(edit.operations, stages[1:], strict=True)
        ],
    )


publish(ImageToolkit())
