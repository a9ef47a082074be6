"""Bytes of a picture as a code and as a JPEG, at what likeness."""

from collections.abc import Callable

import numpy as np

from slipway.kits.metrics.pictures import psnr
from slipway.media import decode_image, encode_jpeg

QUALITIES = (5, 10, 20, 30, 45)
BITS = (2, 3, 4, 5, 6)
# A number of the code has deviation 1; the few that leave this range are cut off.
RANGE = 3.5
# The marker after which a JPEG's own data begin; before it are tables that many pictures share.
SCAN = b"\xff\xda"

Point = tuple[float, float]


def jpeg_rates(images: np.ndarray, *, whole: bool) -> list[Point]:
    """Return mean bytes and mean PSNR of pictures (rows, height, width, 3) by quality.

    `whole` counts all of each file, otherwise only what lies behind the tables.
    """
    points = []
    for quality in QUALITIES:
        files = [encode_jpeg(image, quality) for image in images]
        counted = [len(file) if whole else len(file) - file.index(SCAN) for file in files]
        ratios = [
            psnr(image, decode_image(file)) for image, file in zip(images, files, strict=True)
        ]
        points.append((float(np.mean(counted)), float(np.mean(ratios))))
    return points


def code_rates(
    images: np.ndarray, codes: np.ndarray, decode: Callable[[np.ndarray], np.ndarray]
) -> list[Point]:
    """Return mean bytes and mean PSNR of codes (rows, numbers), rounded to few bits a number.

    `decode` makes brightness (rows, 3, height, width) of codes.
    """
    points = []
    for bits in BITS:
        made = decode(rounded_codes(codes, bits)).transpose(0, 2, 3, 1)
        pairs = zip(images, np.round(255 * made), strict=True)
        points.append((codes.shape[1] * bits / 8, float(np.mean([psnr(*pair) for pair in pairs]))))
    return points


def rounded_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Return codes with 2 ** `bits` levels a number, in the middle of equal parts of the range."""
    levels = 2**bits
    step = 2 * RANGE / levels
    places = np.floor(codes.clip(-RANGE, RANGE - 1e-6) / step) + 0.5
    return np.asarray(places * step, dtype=np.float32)
