"""Pictures that claim too much, are damaged, or are something else."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from random import Random

import numpy as np
import PIL.Image

SIDE = 8
SIDES = (0, 1, 1024, 1025, 65_535, 2**31)


@cache
def picture(kind: str) -> bytes:
    """Return a valid picture of 8x8 pixels; `kind` is Pillow's name of a format."""
    file = BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def claimed(wide: int, high: int, packed: bytes = b"") -> bytes:
    """Return a PNG whose header claims this size, whatever pixels follow."""
    header = struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0)
    pixels = _chunk(b"IDAT", packed or zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + pixels + _chunk(b"IEND", b"")


@cache
def _bomb() -> bytes:
    return claimed(1024, 1024, zlib.compress(b"\0" * 50_000_000, 9))


def _flipped(draw: Random) -> bytes:
    content = bytearray(picture(draw.choice(("PNG", "JPEG"))))
    for _ in range(draw.choice((1, 2, 8))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def _cut(draw: Random) -> bytes:
    content = picture(draw.choice(("PNG", "JPEG", "GIF")))
    return content[: draw.randrange(len(content))]


PICTURES: dict[str, Callable[[Random], bytes]] = {
    "valid": lambda draw: picture(draw.choice(("PNG", "JPEG"))),
    "other format": lambda draw: picture(draw.choice(("GIF", "BMP", "TIFF", "WEBP", "ICO"))),
    "claims a size": lambda draw: claimed(draw.choice(SIDES), draw.choice(SIDES)),
    "bomb": lambda draw: _bomb(),
    "flipped": _flipped,
    "cut": _cut,
    "none": lambda draw: b"",
    "SVG": lambda draw: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "random": lambda draw: draw.randbytes(draw.choice((1, 100, 10_000))),
}


def some(draw: Random) -> bytes:
    """Return a picture of any of these kinds, a third of them valid."""
    return PICTURES["valid" if draw.random() < 0.3 else draw.choice(list(PICTURES))](draw)
