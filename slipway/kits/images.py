"""Records that hold one picture, and their pixels as the input of a network."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from slipway.contract import Record
from slipway.media import Image, decode_image


class ImageRecord(Record):
    """A record with one picture.

    A subclass names the pixels that its network takes, and the limits of the picture that a client
    may send: `class Garment(ImageRecord, size=(28, 28), mode="L", max_side=1024)`. The other
    keywords are those of `slipway.media.Image`.
    """

    size: ClassVar[tuple[int, int]] = (224, 224)
    """Height and width of the pixels that the network takes."""
    mode: ClassVar[Literal["RGB", "L"]] = "RGB"
    """`RGB`, or `L` for grey."""

    image: Annotated[bytes, Image()]

    def __init_subclass__(
        cls,
        *,
        size: tuple[int, int] | None = None,
        mode: Literal["RGB", "L"] | None = None,
        **limits: Any,
    ) -> None:
        super().__init_subclass__()
        if size is not None:
            cls.size = size
        if mode is not None:
            cls.mode = mode
        if limits:
            cls.__annotations__ = {
                **cls.__annotations__,
                "image": Annotated[bytes, Image(**limits)],
            }

    @classmethod
    def shape(cls) -> tuple[int, int, int]:
        """Return channels, height and width of the network's input."""
        return (1 if cls.mode == "L" else 3, *cls.size)


def pixel_batch(records: list[Any]) -> np.ndarray:
    """Return the pixels (rows, channels, height, width) as bytes; grey has one channel."""
    kind = type(records[0])
    batch = np.empty((len(records), *kind.shape()), dtype=np.uint8)
    for row, record in enumerate(records):
        pixels = decode_image(record.image, kind.mode, kind.size)
        batch[row] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return batch


def image_batch(records: list[Any]) -> dict[str, np.ndarray]:
    """Return the brightness (rows, channels, height, width) float32, from 0 (black) to 1."""
    images = pixel_batch(records).astype(np.float32)
    images /= 255
    return {"images": images}
