"""Decoding of pictures to arrays and encoding of arrays as pictures."""

from io import BytesIO
from typing import Literal

import numpy as np
import PIL.Image
from PIL.ExifTags import Base
from PIL.Image import Resampling, Transpose

from slipway.media.cache import decoded
from slipway.media.picture_header import open_picture
from slipway.media.refusals import DAMAGED, Refused

# The transpositions that make a picture upright, by EXIF orientation; 1 is upright.
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def decode_image(
    data: bytes,
    mode: Literal["RGB", "L"] = "RGB",
    size: int | tuple[int, int] | None = None,
) -> np.ndarray:
    """Return the picture, uint8 (height, width, 3), or (height, width) of grey values for "L".

    `size`, a side or (height, width), resizes it without keeping its proportions. The EXIF
    orientation is applied, transparent parts become black, 16 bits are scaled to 8, the first
    frame of an animation is taken, and color profiles are ignored. The array may be shared with
    other callers and is read-only: copy it to draw on it.

    A field that an `Image` marker has checked was decoded then, so this costs little.

    Raises:
        ValueError: it is not a picture, is damaged, or has over 100 million pixels.
    """
    array = decoded.get(data, "picture", lambda: _upright(data))
    if size is None and (array.ndim == 2) == (mode == "L"):
        return array
    picture = PIL.Image.fromarray(array).convert(mode)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        if picture.size != (width, height):
            picture = picture.resize((width, height), Resampling.BILINEAR)
    return np.asarray(picture)


def _upright(data: bytes) -> np.ndarray:
    """Decode to grey values (height, width) or colors (height, width, 3), whichever it holds."""
    picture = open_picture(data)
    try:
        picture.load()
        plain = _eight_bits(picture)
        turn = UPRIGHT.get(_orientation(picture))
        return np.array(plain.transpose(turn) if turn is not None else plain)
    # Damaged bytes make Pillow raise OSError, SyntaxError, struct.error, ValueError and others.
    except Exception:
        raise Refused(DAMAGED) from None


def _eight_bits(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Convert to mode L or RGB on black."""
    if picture.mode.startswith("I"):  # 16 bits: Pillow would clip them to 8, not scale them
        values = np.asarray(picture)
        if isinstance(nothing := picture.info.get("transparency"), int):
            values = np.where(values == nothing, 0, values)
        return PIL.Image.fromarray((values // 257).astype(np.uint8))
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.has_transparency_data:
        black = PIL.Image.new("RGBA", picture.size, "black")
        picture = PIL.Image.alpha_composite(black, picture.convert("RGBA"))
    return picture.convert("L" if grey else "RGB")


def _orientation(picture: PIL.Image.Image) -> int:
    """Return the EXIF orientation; damaged EXIF data count as none, as in browsers."""
    try:
        return int(picture.getexif().get(Base.Orientation, 1))
    except Exception:
        return 1


def encode_png(array: np.ndarray) -> bytes:
    """Return a PNG of grey values (height, width), or of colors (height, width, 3 or 4).

    Raises:
        ValueError: the array is not uint8 or bool, or has another shape.
    """
    return _encode(array, "PNG", optimize=False, compress_level=6)


def encode_quickly(array: np.ndarray) -> bytes:
    """Return a PNG that is not compressed, and that `decode_image` need not decode in this process.

    For many variants of one picture: it takes a tenth of the time of `encode_png`, and decoding
    takes none. The array is kept in the cache, and becomes read-only.

    Raises:
        ValueError: the array is not uint8, or has neither the shape (height, width) nor
            (height, width, 3).
    """
    if array.ndim == 3 and array.shape[2] != 3:
        raise ValueError(f"a decoded picture has three colors, got {array.shape}")
    data = _encode(array, "PNG", optimize=False, compress_level=0)
    decoded.get(data, "picture", lambda: array)
    return data


def encode_jpeg(array: np.ndarray, quality: int = 90) -> bytes:
    """Return a JPEG of grey values (height, width), or of colors (height, width, 3).

    Raises:
        ValueError: the array is not uint8 or bool, or has another shape.
    """
    if array.ndim == 3 and array.shape[2] == 4:
        raise ValueError("a JPEG has no transparency: encode (height, width, 3)")
    return _encode(array, "JPEG", quality=quality)


def _encode(array: np.ndarray, format: str, **options: int | bool) -> bytes:
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    colors = array.shape[2:] in ((), (3,), (4,)) and array.ndim in (2, 3)
    if array.dtype != np.uint8 or not colors or not array.size:
        raise ValueError(
            "a picture is uint8 (height, width) or (height, width, 3 or 4), "
            f"got {array.dtype} {array.shape}"
        )
    file = BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(array)).save(file, format, **options)
    return file.getvalue()
