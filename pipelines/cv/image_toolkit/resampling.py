"""Resize and warp pictures by nearest, bilinear and area resampling, in NumPy.

`fixed` computes as OpenCV does for 8 bits: with whole numbers of limited precision, which are fast
and the same on every processor. Without it, the textbook's real numbers are rounded at the end.
"""

from collections.abc import Iterator

import numpy as np

# Rows of the result that are computed at once: memory stays bounded for large pictures.
BAND = 128
# OpenCV's precision: a weight in 1/2048 when resizing; when warping, places in 1/1024 and then
# 1/32 of a pixel.
WEIGHT_BITS, PLACE_BITS, STEP_BITS = 11, 10, 5


def bands(height: int, scale: float = 1.0) -> Iterator[slice]:
    """Yield slices that together cover `height` rows, each from about `BAND` old rows."""
    size = max(1, int(BAND / max(scale, 1.0)))
    for start in range(0, height, size):
        yield slice(start, min(start + size, height))


def resize(
    image: np.ndarray, height: int, width: int, method: str, *, fixed: bool = True
) -> np.ndarray:
    """Return the picture (height, width[, 3]) resampled by `nearest`, `bilinear` or `area`.

    Area averages all pixels that a new one covers; when enlarging there is at most one, and it
    becomes bilinear with pixels that stay sharp, as in OpenCV.
    """
    old_height, old_width = image.shape[:2]
    scales = 1 / (height / old_height), 1 / (width / old_width)
    if method == "nearest":
        rows, columns = (
            np.minimum(np.floor(np.arange(size) * scale).astype(int), old - 1)
            for size, scale, old in zip(
                (height, width), scales, (old_height, old_width), strict=True
            )
        )
        return np.asarray(image[rows[:, None], columns])
    if method == "area" and min(scales) >= 1:
        return _area(image, height, width, scales)
    if method == "bilinear" and fixed and scales == (2.0, 2.0):
        return _area(image, height, width, scales)  # as OpenCV does: the weights are the same
    return _bilinear(image, height, width, scales, sharp=method == "area", fixed=fixed)


def _bilinear(
    image: np.ndarray,
    height: int,
    width: int,
    scales: tuple[float, float],
    *,
    sharp: bool,
    fixed: bool,
) -> np.ndarray:
    rows, down = _neighbors(height, image.shape[0], scales[0], sharp=sharp)
    columns, right = _neighbors(width, image.shape[1], scales[1], sharp=sharp)
    kind = np.int32 if fixed else np.float32
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    across = (1, width) + (1,) * (image.ndim - 2)
    # Only rows are rounded twice, so only columns can be cut at the border without a difference.
    right = np.where((columns < 0) | (columns >= image.shape[1] - 1), np.float32(0), right)
    left_weight, right_weight = (each.reshape(across) for each in _weights(right, fixed))
    above_weight, below_weight = _weights(down, fixed)
    left, following = (np.clip(columns + step, 0, image.shape[1] - 1) for step in (0, 1))
    top, bottom = (np.clip(rows + step, 0, image.shape[0] - 1) for step in (0, 1))
    for band in bands(height, scales[0]):
        first = top[band.start]
        source = image[first : bottom[band.stop - 1] + 1].astype(kind)
        mixed = source[:, left] * left_weight + source[:, following] * right_weight
        upper, lower = top[band] - first, bottom[band] - first
        along = (-1,) + (1,) * (image.ndim - 1)
        above, below = above_weight[band].reshape(along), below_weight[band].reshape(along)
        if fixed:
            # 19 bits less 4 fit into 16, so that one instruction multiplies eight pixels.
            parts = [
                (weight * (mixed[place] >> 4)) >> 16
                for weight, place in ((above, upper), (below, lower))
            ]
            result[band] = np.clip((parts[0] + parts[1] + 2) >> 2, 0, 255)
        else:
            result[band] = np.rint(above * mixed[upper] + below * mixed[lower])
    return result


def _neighbors(size: int, old: int, scale: float, *, sharp: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return for each new place the old one before it, and the share (0 to 1) of the next one.

    Beyond the border there may be places of -1 and `old`, which count as the border's.
    """
    place = np.arange(size)
    if sharp:
        before = np.floor(place * scale).astype(int)
        share = ((place + 1) - (before + 1) * (1 / scale)).astype(np.float32)
        share = np.where(share <= 0, np.float32(0), share - np.floor(share))
    else:
        exact = ((place + 0.5) * scale - 0.5).astype(np.float32)
        before = np.floor(exact).astype(int)
        share = exact - before.astype(np.float32)
    return before, share.astype(np.float32)


def _weights(share: np.ndarray, fixed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of both neighbors: real numbers, or whole ones in 1/2048."""
    pair = np.float32(1) - share, share
    if not fixed:
        return pair
    one = np.float32(1 << WEIGHT_BITS)
    return np.rint(pair[0] * one).astype(np.int32), np.rint(pair[1] * one).astype(np.int32)


def _area(image: np.ndarray, height: int, width: int, scales: tuple[float, float]) -> np.ndarray:
    whole = [round(scale) for scale in scales]
    if all(abs(scale - each) < 1e-12 for scale, each in zip(scales, whole, strict=True)):
        return _blocks(image, height, width, whole)
    rows, row_weights = _covered(height, image.shape[0], scales[0])
    columns, column_weights = _covered(width, image.shape[1], scales[1])
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    across = (1, width) + (1,) * (image.ndim - 2)
    along = (-1,) + (1,) * (image.ndim - 1)
    for band in bands(height, scales[0]):
        first, last = rows[:, band].min(), rows[:, band].max() + 1
        source = image[first:last].astype(np.float32)
        # Sums in this order: other orders differ in the last bit, and then in rounding.
        mixed = np.zeros((last - first, width, *image.shape[2:]), np.float32)
        for place, weight in zip(columns, column_weights, strict=True):
            mixed += source[:, place] * weight.reshape(across)
        total = np.zeros((band.stop - band.start, *mixed.shape[1:]), np.float32)
        for place, weight in zip(rows[:, band], row_weights[:, band], strict=True):
            total += mixed[place - first] * weight.reshape(along)
        result[band] = np.clip(np.rint(total), 0, 255)
    return result


def _blocks(image: np.ndarray, height: int, width: int, scales: list[int]) -> np.ndarray:
    """Return the means of blocks of pixels, for scales that are whole numbers."""
    down, right = scales
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    for band in bands(height, down):
        source = image[band.start * down : band.stop * down, : width * right].astype(np.int32)
        parts = source.reshape(band.stop - band.start, down, width, right, *image.shape[2:])
        total = parts.sum(axis=(1, 3))
        if (down, right) == (2, 2):
            result[band] = (total + 2) >> 2
        else:
            result[band] = np.rint(total.astype(np.float32) * np.float32(1 / (down * right)))
    return result


def _covered(size: int, old: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the old places (taps, size) that each new one covers, and their shares of it."""
    start = np.arange(size) * scale
    end = start + scale
    cell = np.minimum(scale, old - start)
    full_end = np.minimum(np.floor(end).astype(int), old - 1)
    full_start = np.minimum(np.ceil(start).astype(int), full_end)
    places, weights = [full_start - 1], [np.where(full_start - start > 1e-3, full_start - start, 0)]
    for step in range(int(np.ceil(scale)) + 1):
        places.append(full_start + step)
        weights.append(np.where(full_start + step < full_end, 1.0, 0.0))
    rest = np.minimum(np.minimum(end - full_end, 1.0), cell)
    places.append(full_end)
    weights.append(np.where(end - full_end > 1e-3, rest, 0))
    shares = (np.stack(weights) / cell).astype(np.float32)
    return np.clip(np.stack(places), 0, old - 1), shares


def rotation(height: int, width: int, degrees: float, scale: float = 1.0) -> np.ndarray:
    """Return the matrix (2, 3) that turns a picture counterclockwise around its middle."""
    turn = np.radians(degrees)
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array(
        [
            [cosine, sine, (1 - cosine) * x - sine * y],
            [-sine, cosine, sine * x + (1 - cosine) * y],
        ]
    )


def invert(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of an affine matrix (2, 3)."""
    (a, b, c), (d, e, f) = matrix
    factor = 1 / (a * e - b * d)
    a, b, d, e = e * factor, -b * factor, -d * factor, a * factor
    return np.array([[a, b, -a * c - b * f], [d, e, -d * c - e * f]])


def warp(
    image: np.ndarray, matrix: np.ndarray, height: int, width: int, method: str, *, fixed: bool
) -> np.ndarray:
    """Return a picture (height, width[, 3]) under an affine map (2, 3); black where there is none.

    Every new pixel looks up its old place by the inverse matrix, so there are no holes.
    """
    inverse = invert(matrix)
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    border = ((1, 1), (1, 1)) + ((0, 0),) * (image.ndim - 2)
    padded = np.pad(image, border)
    for band in bands(height):
        places = _places(inverse, np.arange(height)[band], width, method, fixed=fixed)
        result[band] = _sample(padded, *places, fixed=fixed)
    return result


def _places(
    inverse: np.ndarray, rows: np.ndarray, width: int, method: str, *, fixed: bool
) -> tuple[np.ndarray, ...]:
    """Return x, y of old pixels (rows, width), and for bilinear the shares right and below."""
    (a, b, c), (d, e, f) = inverse
    columns = np.arange(width)[None, :]
    if not fixed:
        down = rows[:, None]
        x, y = a * columns + b * down + c, d * columns + e * down + f
        if method == "nearest":
            return np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
        left, top = np.floor(x), np.floor(y)
        return left.astype(np.int64), top.astype(np.int64), x - left, y - top
    one = 1 << PLACE_BITS
    shift = 0 if method == "nearest" else STEP_BITS
    # Half of the last digit that is kept, so that the shift rounds.
    half = one >> (shift + 1)
    x, y = (
        (
            np.rint(along * columns * one) + np.rint((across * rows + start) * one)[:, None] + half
        ).astype(np.int64)
        >> (PLACE_BITS - shift)
        for along, across, start in ((a, b, c), (d, e, f))
    )
    if method == "nearest":
        return x, y
    last = (1 << shift) - 1
    return x >> shift, y >> shift, (x & last) / (1 << shift), (y & last) / (1 << shift)


def _sample(
    padded: np.ndarray, x: np.ndarray, y: np.ndarray, *shares: np.ndarray, fixed: bool
) -> np.ndarray:
    """Return the pixels at x, y of the picture without its black border of one pixel."""
    highest, rightmost = padded.shape[0] - 1, padded.shape[1] - 1

    def at(right: int, down: int) -> np.ndarray:
        return np.asarray(
            padded[np.clip(y + 1 + down, 0, highest), np.clip(x + 1 + right, 0, rightmost)]
        )

    if not shares:
        return at(0, 0)
    right, below = (each.reshape(each.shape + (1,) * (padded.ndim - 2)) for each in shares)
    if fixed:
        steps = 1 << STEP_BITS
        right, below = (right * steps).astype(np.int32), (below * steps).astype(np.int32)
        upper = at(0, 0) * (steps - right) + at(1, 0) * right
        lower = at(0, 1) * (steps - right) + at(1, 1) * right
        total = upper * (steps - below) + lower * below
        total = (total + steps * steps // 2) >> (2 * STEP_BITS)
        return np.asarray(total, dtype=np.uint8)
    upper = at(0, 0) * (1 - right) + at(1, 0) * right
    lower = at(0, 1) * (1 - right) + at(1, 1) * right
    return np.asarray(np.rint(upper * (1 - below) + lower * below), dtype=np.uint8)
