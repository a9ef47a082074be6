"""Which of three shapes does this picture show?

Data: 90 grey pictures of 8x8 pixels made up for the tests, 30 of each shape.
Task: classification into three even classes.
Model: a linear classifier of the pixels, as an ONNX graph.
Limits: made up; it knows three shapes in the middle of a picture.
"""

from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import Field, field_validator

from slipway.contract import OnnxModel, Record, publish

LABELS = ("cross", "ring", "stripes")
SIDE = 8
# At most 4 MB when decoded; a few kB of PNG can claim to hold gigabytes.
LARGEST = 1024
FORMATS = ("PNG", "JPEG")


def pixels(image: bytes) -> np.ndarray:
    """Return the picture as (8, 8) brightness from 0 to 255.

    Raises:
        ValueError: the bytes are no picture, a damaged one, or one that is too large.
    """
    try:
        picture: Image.Image = Image.open(BytesIO(image), formats=FORMATS)
    except UnidentifiedImageError as error:  # Pillow's own message holds a memory address
        raise ValueError("is no PNG or JPEG") from error
    # Only the header is read so far.
    if max(picture.size) > LARGEST:
        wide, high = picture.size
        raise ValueError(f"must be at most {LARGEST}x{LARGEST} pixels, got {wide}x{high}")
    picture = picture.convert("L")
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture)


class Picture(Record):
    """A picture of one shape."""

    image: bytes = Field(
        min_length=1,
        max_length=1_000_000,
        description="PNG or JPEG, at most 1024x1024; made grey and 8x8 when it is not",
    )

    @field_validator("image")
    @classmethod
    def _decodes(cls, image: bytes) -> bytes:
        """Refuse here what would only fail, or fill the memory, in `predict`."""
        try:
            pixels(image)
        except ValueError:
            raise
        # Damaged bytes make Pillow raise OSError, SyntaxError, struct.error and others.
        except Exception as error:
            raise ValueError(f"cannot be decoded: {error}") from error
        return image


class Shape(Record):
    """The likeliest shape."""

    label: str = Field(pattern=f"^({'|'.join(LABELS)})$")
    probabilities: dict[str, float] = Field(description="Of every shape; they sum to 1")


def features(pictures: list[Picture]) -> dict[str, np.ndarray]:
    """Return brightness (rows, 1, 8, 8) float32 from 0, black, to 1."""
    images = np.empty((len(pictures), 1, SIDE, SIDE), dtype=np.float32)
    for row, each in enumerate(pictures):
        images[row, 0] = pixels(each.image)
    return {"images": images / 255}


def shapes(probabilities: np.ndarray) -> list[Shape]:
    """Return the likeliest shape of each row of probabilities (rows, 3)."""
    return [
        Shape(
            label=LABELS[int(row.argmax())],
            probabilities=dict(zip(LABELS, row.tolist(), strict=True)),
        )
        for row in probabilities
    ]


class Shapes(OnnxModel):
    def predict(self, model_input: list[Picture]) -> list[Shape]:
        return shapes(self.run(features(model_input))["probabilities"])


publish(Shapes())
