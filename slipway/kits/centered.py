"""The middle of a picture of any size as the square that a network takes."""

from typing import Any

import numpy as np
import PIL.Image

from slipway.media import decode_image


def centered_square(image: np.ndarray) -> np.ndarray:
    """Return the largest square in the middle of a picture (height, width, ...), as a view."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def square_pixels(data: bytes, side: int) -> np.ndarray:
    """Return the middle of an encoded picture, uint8 (side, side, 3).

    A larger square is averaged, a smaller one is interpolated.
    """
    square = centered_square(decode_image(data))
    if len(square) == side:
        return square
    resized = PIL.Image.fromarray(square).resize((side, side), PIL.Image.Resampling.BILINEAR)
    return np.asarray(resized)


def square_batch(records: list[Any]) -> np.ndarray:
    """Return the middles of the records' pictures (rows, 3, side, side) as bytes.

    The records are of one subclass of `ImageRecord`, whose `size` is a square.
    """
    side = type(records[0]).size[0]
    squares = [square_pixels(each.image, side).transpose(2, 0, 1) for each in records]
    return np.ascontiguousarray(np.stack(squares))


def square_feed(records: list[Any]) -> dict[str, np.ndarray]:
    """Return the brightness (rows, 3, side, side) float32 of the middles, from 0 to 1."""
    images = square_batch(records).astype(np.float32)
    images /= 255
    return {"images": images}
