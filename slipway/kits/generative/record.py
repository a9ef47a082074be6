"""Made pictures as predictions."""

from typing import Annotated, Self

import numpy as np

from slipway.contract import Record
from slipway.media import Image, decode_image, encode_png


class MadePicture(Record):
    """A picture that the model made, as PNG."""

    picture: Annotated[bytes, Image(formats=("PNG",))]

    @classmethod
    def from_brightness(cls, images: np.ndarray) -> list[Self]:
        """Return pictures, given brightness (rows, channels, height, width) from 0 to 1."""
        values = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
        arrays = [each[0] if len(each) == 1 else each.transpose(1, 2, 0) for each in values]
        return [cls(picture=encode_png(np.ascontiguousarray(each))) for each in arrays]

    def pixels(self, channels: int) -> np.ndarray:
        """Return the pixels (channels, height, width) uint8, one channel for grey."""
        array = decode_image(self.picture, "L" if channels == 1 else "RGB")
        return array[None] if channels == 1 else array.transpose(2, 0, 1)
