"""Make pictures of shapes whose edges and names are known, harder by one property at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from .shapes import NAMES

SIZE = (320, 240)
# Everything is drawn so many times larger, and averaged.
FINE = 4
# Levels of each property, from easy to hard; the others keep their first level.
LEVELS: dict[str, tuple[float, ...]] = {
    "noise": (3, 10, 20, 30, 45, 60),
    "blur": (0.6, 1.5, 2.5, 3.5, 5, 7),
    "contrast": (90, 60, 40, 25, 15, 8),
    "size": (34, 26, 20, 15, 11, 8),
    "rotation": (0, 15, 30, 45, 60, 75),
}
UNITS = {
    "noise": "standard deviation in levels",
    "blur": "standard deviation in pixels",
    "contrast": "levels between shape and ground",
    "size": "radius in pixels",
    "rotation": "degrees",
}
SHAPES = 6


@dataclass(frozen=True)
class MadeDrawing:
    """A picture (height, width, 3), its true edges (height, width), and its shapes' boxes."""

    image: np.ndarray
    edges: np.ndarray
    shapes: list[tuple[str, np.ndarray]]
    condition: str
    level: float


def corners_of(name: str, radius: float, turn: float, stretch: float) -> np.ndarray:
    """Return the outline (n, 2) of a shape around 0; `stretch` is the ratio of its sides."""
    count = {"triangle": 3, "square": 4, "rectangle": 4, "pentagon": 5, "hexagon": 6}.get(name, 120)
    angles = np.arange(count) * 2 * np.pi / count
    distances = np.ones(count)
    if name == "star":
        angles, distances = np.arange(10) * np.pi / 5, np.where(np.arange(10) % 2, 0.5, 1.0)
    if name in ("square", "rectangle"):
        angles = angles + np.pi / 4
    points = np.column_stack([np.cos(angles), np.sin(angles)]) * distances[:, None]
    if name in ("rectangle", "ellipse"):
        points *= np.array([1, 1 / stretch])
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(radius * points @ spin)


@dataclass
class Canvas:
    """A drawing in the making: which shape covers each fine pixel, and where shapes are."""

    cover: np.ndarray = field(
        default_factory=lambda: np.zeros((SIZE[1] * FINE, SIZE[0] * FINE), dtype=np.uint8)
    )
    shapes: list[tuple[str, np.ndarray]] = field(default_factory=list)

    def place(self, name: str, points: np.ndarray, generator: np.random.Generator) -> None:
        """Put a shape where it touches no other one; after 60 tries it is left out."""
        reach = np.abs(points).max(axis=0) + 6
        for _ in range(60):
            center = generator.uniform(reach, np.array(SIZE) - reach)
            outline = points + center
            box = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
            apart = [
                box[0] > other[2] + 8
                or box[2] < other[0] - 8
                or box[1] > other[3] + 8
                or box[3] < other[1] - 8
                for _, other in self.shapes
            ]
            if all(apart):
                self.shapes.append((name, box))
                fine = np.rint((outline + 0.5) * FINE).astype(np.int32)
                cv2.fillPoly(self.cover, [fine], len(self.shapes))
                return


def draw(generator: np.random.Generator, condition: str, level: float) -> MadeDrawing:
    """Return a drawing in which one property is at `level`."""
    values = {name: levels[0] for name, levels in LEVELS.items()} | {condition: level}
    canvas = Canvas()
    for name in generator.permutation(NAMES)[:SHAPES]:
        turn = generator.uniform(0, 2 * np.pi)
        if condition == "rotation":
            turn = np.radians(level + generator.uniform(-2, 2))
        radius = values["size"] * generator.uniform(0.9, 1.1)
        canvas.place(
            str(name), corners_of(name, radius, turn, generator.uniform(1.5, 2.2)), generator
        )
    wide, high = SIZE
    y, x = np.mgrid[0:high, 0:wide]
    ground = generator.uniform(70, 185, 3) + generator.uniform(-12, 12) * (
        x[..., None] / wide + y[..., None] / high
    )
    picture = ground.copy()
    for number in range(1, len(canvas.shapes) + 1):
        inside = (canvas.cover == number).astype(np.float32)
        share = cv2.resize(inside, SIZE, interpolation=cv2.INTER_AREA)[..., None]
        sign = generator.choice([-1, 1])
        # Of the three colors, all change: gray sees the whole contrast.
        shade = sign * values["contrast"] * generator.uniform(0.9, 1.1, 3)
        picture += share * shade
    blurred = cv2.GaussianBlur(picture, (0, 0), values["blur"])
    noisy = blurred + generator.normal(0, values["noise"], (high, wide, 1))
    image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return MadeDrawing(image, true_edges(canvas.cover), canvas.shapes, condition, level)


def true_edges(cover: np.ndarray) -> np.ndarray:
    """Return the pixels (height, width) that two areas share."""
    blocks = cover.reshape(SIZE[1], FINE, SIZE[0], FINE)
    return np.asarray(blocks.max(axis=(1, 3)) != blocks.min(axis=(1, 3)))


def make_drawings(generator: np.random.Generator, draws: int) -> Iterator[MadeDrawing]:
    """Yield `draws` drawings at each level of each property."""
    for _ in range(draws):
        for condition, levels in LEVELS.items():
            for level in levels:
                yield draw(generator, condition, level)
