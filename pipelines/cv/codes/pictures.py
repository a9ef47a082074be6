"""Make pictures of codes whose payloads are known, harder by one property at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from slipway.media import encode_jpeg

from . import ean13
from .writing import QUIET, code_modules

# Levels of each property, from easy to hard. The others keep their first level, except `size`,
# which is then `USUAL_SIZE`.
LEVELS: dict[str, tuple[float, ...]] = {
    "rotation": (0, 15, 30, 45, 60, 75, 90),
    "blur": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "size": (5, 4, 3, 2, 1.5, 1.25, 1),
    "tilt": (0, 15, 30, 40, 50, 60, 70),
    "noise": (4, 15, 30, 45, 60, 80, 100),
}
USUAL_SIZE = 3.0
UNITS = {
    "rotation": "degrees",
    "blur": "standard deviation in modules",
    "size": "pixels per module",
    "tilt": "degrees away from the camera",
    "noise": "standard deviation in levels",
}
WORDS = (
    "amber birch cedar delta ember fjord grove heath inlet jetty knoll larch maple north".split()
)


@dataclass(frozen=True)
class Conditions:
    """The difficulties of reading a code."""

    rotation: float = 0
    blur: float = LEVELS["blur"][0]
    size: float = USUAL_SIZE
    tilt: float = 0
    noise: float = LEVELS["noise"][0]


def draw_payload(kind: str, generator: np.random.Generator) -> str:
    """Return thirteen digits with their checksum, or a text as people put into QR codes."""
    if kind == "ean_13":
        return ean13.with_check_digit("".join(map(str, generator.integers(0, 10, 12))))
    number = int(generator.integers(10**6, 10**9))
    word, other = generator.choice(WORDS, 2)
    forms = (
        f"https://example.org/{word}/{number}",
        f"WIFI:T:WPA;S:{word}-{other};P:{number};;",
        f"{word} {other} {number}",
        f"{number}",
    )
    return forms[int(generator.integers(len(forms)))]


def place_code(
    card: np.ndarray, conditions: Conditions, background: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return a picture (height, width) of the card, held before a background as conditions say."""
    high, wide = (length * conditions.size for length in card.shape)
    corners = np.array([[-wide, -high], [wide, -high], [wide, high], [-wide, high]]) / 2
    turn = np.radians(conditions.rotation + generator.uniform(-3, 3))
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    tilt = np.radians(conditions.tilt)
    # Tilted about its vertical axis, in front of a pinhole camera; then turned.
    distance = 4 * max(wide, high)
    depth = corners[:, 0] * np.sin(tilt)
    flat = corners * np.array([np.cos(tilt), 1]) * (distance / (distance + depth))[:, None]
    placed = flat @ spin
    margin = 12 + 0.15 * np.ptp(placed, axis=0)
    size = np.ceil(np.ptp(placed, axis=0) + 2 * margin).astype(int)
    placed = placed - placed.min(axis=0) + margin + generator.uniform(-0.5, 0.5, 2)
    ends = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * card.shape[::-1] - 0.5
    matrix = cv2.getPerspectiveTransform(ends.astype(np.float32), placed.astype(np.float32))
    # Four times the size and back, so that each pixel averages what it covers.
    fine, big = np.diag([4.0, 4.0, 1.0]) @ matrix, tuple((4 * size).tolist())
    inked, cover = (
        cv2.resize(
            cv2.warpPerspective(each, fine, big, flags=cv2.INTER_NEAREST),
            size.tolist(),
            interpolation=cv2.INTER_AREA,
        )
        / 255
        for each in (card, np.full_like(card, 255))
    )
    scene = crop(background, size, generator)
    paper, ink = generator.uniform(190, 245), generator.uniform(5, 60)
    picture = scene * (1 - cover) + inked * paper + (cover - inked) * ink
    blurred = cv2.GaussianBlur(picture, (0, 0), max(conditions.blur * conditions.size, 0.1))
    noisy = blurred + generator.normal(0, conditions.noise, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def crop(background: np.ndarray, size: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a random part of the background of (width, height), darker than paper."""
    wide, high = size.tolist()
    scale = max(1.0, wide / background.shape[1], high / background.shape[0])
    grown = cv2.resize(background, None, fx=scale * 1.01, fy=scale * 1.01)
    x = int(generator.integers(0, grown.shape[1] - wide + 1))
    y = int(generator.integers(0, grown.shape[0] - high + 1))
    return np.asarray(grown[y : y + high, x : x + wide] * 0.7)


@dataclass(frozen=True)
class MadePicture:
    """A picture as JPEG with its payload; `kind` is `none` where there is no code."""

    jpeg: bytes
    kind: str
    text: str
    condition: str
    level: float


def make_pictures(
    backgrounds: list[np.ndarray], generator: np.random.Generator, draws: int
) -> Iterator[MadePicture]:
    """Yield `draws` pictures of each kind at each level, and pictures without a code."""
    for _ in range(draws):
        for condition, levels in LEVELS.items():
            for level in levels:
                for kind in QUIET:
                    text = draw_payload(kind, generator)
                    card = code_modules(kind, text)
                    background = backgrounds[int(generator.integers(len(backgrounds)))]
                    conditions = Conditions(**{condition: level})
                    picture = place_code(card, conditions, background, generator)
                    yield MadePicture(encode_jpeg(picture, 92), kind, text, condition, level)
        for background in backgrounds:
            picture = crop(background, np.array([300, 240]), generator).astype(np.uint8)
            yield MadePicture(encode_jpeg(picture, 92), "none", "", "none", 0)
