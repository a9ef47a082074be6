"""Convert pictures between RGB, BGR, gray, HSV and Lab with 8 bits a channel, in NumPy.

`fixed` computes with whole numbers, as OpenCV does; without it, the formulas are those of the
textbook, rounded at the end.
"""

import numpy as np

# Rec. 601: how bright red, green and blue appear. OpenCV computes in 1/32768.
GRAY_WEIGHTS = (0.299, 0.587, 0.114)
GRAY_BITS = 15
# Hue in half degrees, so that it fits into 8 bits.
HUES = 180
HSV_BITS = 12
# Linear sRGB to CIE XYZ, and the white D65.
TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
WHITE = np.array([0.950456, 1.0, 1.088754])
# Lab in fixed point: light in 1/8 of a level, weights in 1/4096, cube roots in 1/32768.
LIGHT_BITS, XYZ_BITS = 3, 12
ROOT_BITS = LIGHT_BITS + XYZ_BITS


def to_gray(image: np.ndarray, *, fixed: bool = True) -> np.ndarray:
    """Return the gray values (height, width) of a picture (height, width, 3) in RGB."""
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    if not fixed:
        weights = zip(GRAY_WEIGHTS, (red, green, blue), strict=True)
        return np.rint(sum(weight * each for weight, each in weights)).astype(np.uint8)
    r, g = (round(weight * (1 << GRAY_BITS)) for weight in GRAY_WEIGHTS[:2])
    # The rest, so that white stays white: rounded as well, the three would sum to one too many.
    b = (1 << GRAY_BITS) - r - g
    half = 1 << (GRAY_BITS - 1)
    return ((red * r + green * g + blue * b + half) >> GRAY_BITS).astype(np.uint8)


def to_hsv(image: np.ndarray, *, fixed: bool = True) -> np.ndarray:
    """Return hue (0 to 179, in half degrees), saturation and value of a picture in RGB.

    Smith, Color gamut transform pairs (1978).
    """
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    value = image.max(axis=2).astype(np.int32)
    spread = value - image.min(axis=2)
    # Which channel is the largest says in which third of the circle the hue lies.
    sixth = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    if fixed:
        levels = np.maximum(np.arange(256), 1)
        hue_table, saturation_table = (
            np.rint((top << HSV_BITS) / (parts * levels)).astype(np.int32)
            for top, parts in ((HUES, 6), (255, 1))
        )
        half = 1 << (HSV_BITS - 1)
        hue = (sixth * hue_table[spread] + half) >> HSV_BITS
        saturation = (spread * saturation_table[value] + half) >> HSV_BITS
    else:
        hue = np.rint(sixth * HUES / (6 * np.maximum(spread, 1))).astype(np.int32)
        saturation = np.rint(spread * 255 / np.maximum(value, 1)).astype(np.int32)
    hue = np.where(hue < 0, hue + HUES, hue)
    return np.stack([hue, saturation, value], axis=2).astype(np.uint8)


def from_hsv(image: np.ndarray) -> np.ndarray:
    """Return the picture (height, width, 3) in RGB of hue, saturation and value."""
    hue, saturation, value = (image[..., channel].astype(np.float32) for channel in range(3))
    place = hue * np.float32(6 / HUES)
    sector = np.floor(place)
    share = place - sector
    saturation, value = saturation * np.float32(1 / 255), value * np.float32(1 / 255)
    least = value * (1 - saturation)
    falling = value * (1 - saturation * share)
    rising = value * (1 - saturation * (1 - share))
    orders = [
        (value, rising, least),
        (falling, value, least),
        (least, value, rising),
        (least, falling, value),
        (rising, least, value),
        (value, least, falling),
    ]
    which = sector.astype(int) % 6
    channels = [np.choose(which, [order[channel] for order in orders]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=2) * np.float32(255)).astype(np.uint8)


def to_lab(image: np.ndarray, *, fixed: bool = True) -> np.ndarray:
    """Return CIE L*a*b* of a picture in RGB: L scaled from 100 to 255, a and b moved by 128."""
    linear = _linear(np.arange(256) / 255)
    weights = TO_XYZ / WHITE[:, None]
    if not fixed:
        light = linear[image] @ weights.T
        x, y, z = np.moveaxis(_root(light), 2, 0)
        lab = np.stack([(116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128], axis=2)
        return np.asarray(np.clip(np.rint(lab), 0, 255), dtype=np.uint8)
    levels = np.rint(linear * 255 * (1 << LIGHT_BITS)).astype(np.int64)
    brightest = 255 << LIGHT_BITS
    # OpenCV rounds these from 32 bits: two of the 3,060 then lie at a half and go the other way.
    exact = _root(np.arange(brightest * 3 // 2) / brightest) * (1 << ROOT_BITS)
    roots = np.rint(exact.astype(np.float32))
    whole = np.rint(weights * (1 << XYZ_BITS)).astype(np.int64)
    places = (levels[image] @ whole.T + (1 << (XYZ_BITS - 1))) >> XYZ_BITS
    x, y, z = np.moveaxis(roots.astype(np.int64)[places], 2, 0)
    half, middle = 1 << (ROOT_BITS - 1), 128 << ROOT_BITS
    slope, start = (116 * 255 + 50) // 100, (16 * 255 * (1 << ROOT_BITS) + 50) // 100
    lab = np.stack([slope * y - start, 500 * (x - y) + middle, 200 * (y - z) + middle], axis=2)
    return np.asarray(np.clip((lab + half) >> ROOT_BITS, 0, 255), dtype=np.uint8)


def _linear(level: np.ndarray) -> np.ndarray:
    """Return the light of sRGB levels (0 to 1)."""
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def _root(light: np.ndarray) -> np.ndarray:
    """Return the cube root, and near black the straight line that CIE puts in its place."""
    line = light * (841 / 108) + 16 / 116
    return np.asarray(np.where(light < 216 / 24389, line, np.cbrt(light)))
