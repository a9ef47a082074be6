"""Bring drawn or photographed digits to the form of MNIST's pictures."""

from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter

from slipway.media import decode_image

SIDE = 28
# MNIST's digits fill a square of 20 pixels, and their center of mass lies at pixel 14.
BOX, CENTER = 20, 14
# Thin strokes are thickened while the digit is at most this large: the filter is slow above it.
ENLARGED = 4 * BOX
# The median thickness of MNIST's strokes as `stroke_width` measures it, in pixels of the square.
THICKNESS = 2.4


def digit_pixels(records: list[Any]) -> np.ndarray:
    """Return the centered digits of records with an `image`, uint8 (rows, 1, 28, 28)."""
    batch = np.empty((len(records), 1, SIDE, SIDE), dtype=np.uint8)
    for row, record in enumerate(records):
        batch[row, 0] = centered_digit(decode_image(record.image, "L"))
    return batch


def digit_batch(records: list[Any]) -> dict[str, np.ndarray]:
    """Return the centered digits as brightness from 0 to 1, float32 (rows, 1, 28, 28)."""
    return {"images": digit_pixels(records).astype(np.float32) / 255}


def drawing_features(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return numbers (rows,) by which drift of centered digits (rows, 1, 28, 28) is watched.

    `ink` is the mean brightness from 0 to 1, `width` the width in pixels that the digit takes.
    """
    used = pixels[:, 0].max(axis=1) > 0
    last, first = SIDE - used[:, ::-1].argmax(axis=1), used.argmax(axis=1)
    return {
        "ink": pixels.mean(axis=(1, 2, 3)) / 255,
        "width": np.where(used.max(axis=1), last - first, 0).astype(np.float64),
    }


def centered_digit(gray: np.ndarray) -> np.ndarray:
    """Return a digit (28, 28), light on black, given a picture (height, width), both uint8.

    As MNIST was made (LeCun et al. 1998): what differs from the background is cropped, scaled into
    a square of 20 pixels without changing its proportions, and placed with its center of mass in
    the middle. MNIST's own pictures stay, up to one level of brightness. A picture without a digit
    becomes black.
    """
    ink, noise = ink_of(gray)
    marked = ink > noise
    rows, columns = (np.flatnonzero(marked.any(axis=axis)) for axis in (1, 0))
    result = np.zeros((SIDE, SIDE), dtype=np.uint8)
    if not rows.size:
        return result
    digit = fit_box(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    height, width = digit.shape
    mass = digit.astype(np.float64)
    down, right = mass.sum(axis=1), mass.sum(axis=0)
    top, left = (
        min(max(round(CENTER - float(part @ np.arange(len(part)) / mass.sum())), 0), SIDE - size)
        for part, size in ((down, height), (right, width))
    )
    result[top : top + height, left : left + width] = digit
    return result


def ink_of(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """Return how much each pixel differs from the background, 0 to 255, and the noise.

    The background is the median of the border; nine in ten of the border's pixels are within half
    of the noise. Ink is what lies beyond the noise, on whichever side of the background more does.
    """
    edges = (gray[0], gray[-1], gray[:, 0], gray[:, -1])
    border = np.sort(np.concatenate(edges)).astype(np.int16)
    background = int(border[len(border) // 2])
    spread = np.sort(np.abs(border - background))
    noise = 2 * int(spread[int(0.9 * (len(spread) - 1))])
    difference = gray.astype(np.int16) - background
    lighter, darker = (np.maximum(each - noise, 0) for each in (difference, -difference))
    ink = lighter if lighter.sum() >= darker.sum() else darker
    return ink, float(noise)


def fit_box(ink: np.ndarray) -> np.ndarray:
    """Return cropped ink, with 20 pixels on its longer side and 255 as its highest brightness."""
    if max(ink.shape) == BOX:
        return _stretched(ink, ink.max())
    picture = PIL.Image.fromarray(_stretched(ink, ink.max()))
    if max(ink.shape) > ENLARGED:
        # In floats: a fine line of a large picture would be rounded to nothing.
        large = np.asarray(_scaled(PIL.Image.fromarray(ink.astype(np.float32)), ENLARGED))
        picture = PIL.Image.fromarray(_stretched(large, large.max()))
    if max(picture.size) > 2 * BOX:
        picture = _thickened(picture)
    small = np.asarray(_scaled(picture, BOX))
    # Scaling blurs: a fifth of the ink of MNIST's pictures is as bright as can be, or more.
    return _stretched(small, np.quantile(small[small > 0], 0.8))


def _stretched(ink: np.ndarray, bright: float) -> np.ndarray:
    """Return the ink as uint8, with 255 for `bright` and above."""
    levels: np.ndarray = np.minimum(ink * (255 / float(bright)) + 0.5, 255).astype(np.uint8)
    return levels


def stroke_width(ink: np.ndarray) -> float:
    """Return about how many pixels wide the strokes of a digit (height, width) are.

    It is twice the area by the length of the outline. Steps along rows and columns overestimate
    the length of an outline of any direction by 4 / pi on average.
    """
    inside = np.pad(ink > ink.max() / 2, 1)
    steps = sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in (0, 1))
    return float(2 * np.count_nonzero(inside) / (steps * np.pi / 4))


def _thickened(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Widen strokes that would be much thinner in the square than MNIST's."""
    scale = max(picture.size) / BOX
    lacking = THICKNESS * scale - stroke_width(np.asarray(picture))
    steps = int(lacking / 2)
    if steps < 1:
        return picture
    framed = PIL.Image.new("L", (picture.width + 2 * steps, picture.height + 2 * steps))
    framed.paste(picture, (steps, steps))
    return framed.filter(PIL.ImageFilter.MaxFilter(2 * steps + 1))


def _scaled(picture: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """Resize a picture so that its longer side is `side`; the other one is at least a pixel."""
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, PIL.Image.Resampling.BILINEAR)
