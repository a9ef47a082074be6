"""Find pixels of a color by thresholds of hue, saturation and value, and clean the masks.

Hue is an angle on the color wheel, saturation the distance from gray, value the brightness. Light
changes the value most, so the hue says better which color a thing has than red, green and blue do.
"""

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import BaseModel

from slipway.kits.tracking.regions import closed, opened

# OpenCV stores a hue of 0 to 358 degrees as 0 to 179, saturation and value as 0 to 255.
HALF_TURN, TURN = 90, 180
NAMED = {
    "red": "#e6191e",
    "orange": "#f08214",
    "yellow": "#ebd719",
    "green": "#28b432",
    "cyan": "#19c8d2",
    "blue": "#1e46dc",
    "purple": "#8c28c8",
}
# The mean brightness that normalization gives to a picture, and its largest gain.
MIDDLE, MOST_GAIN = 110.0, 4.0


class ColorRecipe(BaseModel):
    """The way in which pixels of a color are found; `fit` chooses it."""

    space: str = "hsv"
    tolerance: float = 20.0
    """Degrees of hue to each side, or levels of each channel if the space is rgb."""
    min_saturation: float = 0.4
    min_value: float = 0.25
    radius: int = 0
    """The radius of the square with which masks are closed and opened, in pixels."""
    normalized: bool = False
    """True if each picture is first brought to the same brightness and a gray mean."""


@dataclass(frozen=True)
class HueRange:
    """Limits in OpenCV's units; hues from the first to the last, across 0 if that is smaller."""

    label: str
    hue: tuple[int, int]
    saturation: tuple[int, int]
    value: tuple[int, int]


def rgb_of(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of a name or of `#rrggbb`."""
    digits = NAMED.get(color, color).lstrip("#")
    red, green, blue = (int(digits[place : place + 2], 16) for place in (0, 2, 4))
    return red, green, blue


def hue_degrees(color: str) -> float | None:
    """Return the hue of a color from 0 to 360, None for gray ones, which have no hue."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(each / 255 for each in rgb_of(color)))
    return 360 * hue if saturation >= 0.15 and value >= 0.1 else None


def range_around(color: str, recipe: ColorRecipe) -> HueRange:
    """Return the range of hues around a color.

    Raises:
        ValueError: the color is gray.
    """
    hue = hue_degrees(color)
    if hue is None:
        raise ValueError(f"{color} is too gray to have a hue: send a range instead")
    first, last = (round((hue + side * recipe.tolerance) / 2) % TURN for side in (-1, 1))
    if recipe.tolerance >= TURN:
        first, last = 0, TURN - 1
    lowest = round(255 * recipe.min_saturation), round(255 * recipe.min_value)
    return HueRange(color, (first, last), (lowest[0], 255), (lowest[1], 255))


def normalize(picture: np.ndarray) -> np.ndarray:
    """Return the picture with a gray mean of fixed brightness (gray-world assumption).

    Buchsbaum (1980): the mean of a scene is gray, so a mean of another color is that of the light.
    """
    means = picture.reshape(-1, 3).mean(axis=0)
    gains = np.clip(MIDDLE / np.maximum(means, 1), 1 / MOST_GAIN, MOST_GAIN)
    levels = np.clip(np.rint(np.arange(256) * gains[:, None]), 0, 255).astype(np.uint8)
    return np.stack([levels[channel][picture[..., channel]] for channel in range(3)], axis=2)


def in_range(hsv: np.ndarray, limits: HueRange) -> np.ndarray:
    """Return which pixels (height, width, 3) of hue, saturation and value lie in the limits."""
    first, last = limits.hue
    hues = np.arange(256)
    wanted = (hues >= first) & (hues <= last) if first <= last else (hues >= first) | (hues <= last)
    saturations, values = (
        (hues >= low) & (hues <= high) for low, high in (limits.saturation, limits.value)
    )
    # A table of 256 entries for each channel is faster than comparisons.
    tables = wanted & (hues < TURN), saturations, values
    hue, saturation, value = (table[hsv[..., place]] for place, table in enumerate(tables))
    return np.asarray(hue & saturation & value)


def color_masks(
    picture: np.ndarray, ranges: list[HueRange], recipe: ColorRecipe
) -> list[np.ndarray]:
    """Return the cleaned mask (height, width) of bool of each range."""
    if recipe.normalized:
        picture = normalize(picture)
    if recipe.space == "rgb":
        masks = [near_rgb(picture, each.label, recipe.tolerance) for each in ranges]
    else:
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        masks = [in_range(hsv, each) for each in ranges]
    return [clean(each, recipe.radius) for each in masks]


def near_rgb(picture: np.ndarray, color: str, tolerance: float) -> np.ndarray:
    """Return which pixels differ from a color by at most the tolerance in every channel."""
    levels = np.arange(256)
    tables = [np.abs(levels - each) <= tolerance for each in rgb_of(color)]
    red, green, blue = (table[picture[..., place]] for place, table in enumerate(tables))
    return np.asarray(red & green & blue)


def clean(mask: np.ndarray, radius: int) -> np.ndarray:
    """Close gaps such as a stripe across an object; then remove what is narrower than a square."""
    return opened(closed(mask, radius), radius)
