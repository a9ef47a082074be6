"""Draw clips of moving colored shapes whose tracks are known; all randomness has a seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from slipway.media import Box, Track

from .thresholds import hue_degrees

WIDTH, HEIGHT, FRAMES, RATE = 320, 240, 45, 15
COLORS = ("red", "yellow", "green", "blue")
LIGHTS = ("steady", "dimming", "flicker", "warm", "shadow")
# An object counts as long as this share of it is visible.
VISIBLE = 0.25


@dataclass(frozen=True)
class Shape:
    """A colored shape on its way: `corners` (n, 2) around its center."""

    label: str
    rgb: np.ndarray
    corners: np.ndarray
    start: np.ndarray
    speed: np.ndarray
    sway: np.ndarray
    striped: bool

    def center(self, frame: int) -> np.ndarray:
        """Return x and y in a frame; the shape turns back at the borders of the picture."""
        way = self.start + self.speed * frame + self.sway * np.sin(frame / 6)
        room = np.array([WIDTH, HEIGHT]) - 50
        folded = np.mod(way - 25, 2 * room)
        return np.asarray(25 + np.where(folded > room, 2 * room - folded, folded))


@dataclass(frozen=True)
class Scene:
    """All that is drawn: the background, the shapes, a pillar in front, specks, and the light."""

    background: np.ndarray
    shapes: list[Shape]
    pillar: tuple[int, int]
    specks: np.ndarray
    light: str
    generator: np.random.Generator


def make_scene(generator: np.random.Generator, light: str) -> Scene:
    """Return a scene of four to six shapes; two of them have the same color."""
    labels = [*COLORS, *generator.choice(COLORS, int(generator.integers(0, 3)))]
    left = int(generator.integers(90, 200))
    return Scene(
        make_background(generator),
        [make_shape(generator, str(each)) for each in labels],
        (left, left + int(generator.integers(14, 26))),
        generator.integers(0, (WIDTH, HEIGHT), (60, 2)),
        light,
        generator,
    )


def make_background(generator: np.random.Generator) -> np.ndarray:
    """Return smooth patches of grayish colors (HEIGHT, WIDTH, 3), as floats from 0 to 255."""
    coarse = generator.uniform(60, 170, (6, 8, 1)) + generator.uniform(-14, 14, (6, 8, 3))
    smooth = cv2.resize(coarse.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth, 0, 255))


def make_shape(generator: np.random.Generator, label: str) -> Shape:
    """Return a disc, a square or a triangle whose color is near to that of its label."""
    hue = ((hue_degrees(label) or 0.0) + generator.uniform(-7, 7)) % 360
    saturation, value = generator.uniform(0.65, 0.95), generator.uniform(0.7, 0.95)
    hsv = np.array([[[hue, saturation, value]]], dtype=np.float32)
    sides = int(generator.choice([3, 4, 24]))
    angles = 2 * np.pi * np.arange(sides) / sides + generator.uniform(0, np.pi)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * generator.uniform(14, 22)
    return Shape(
        label,
        255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0],
        corners,
        generator.uniform([25, 25], [WIDTH - 25, HEIGHT - 25]),
        generator.uniform(1.5, 5, 2) * generator.choice([-1, 1], 2),
        generator.uniform(0, 10, 2),
        bool(generator.random() < 0.5),
    )


def draw_scene(scene: Scene, frames: int = FRAMES) -> Iterator[tuple[np.ndarray, list[Track]]]:
    """Yield the picture (HEIGHT, WIDTH, 3) of uint8 and the visible boxes of each frame."""
    for frame in range(frames):
        picture = scene.background.copy()
        owner = np.full((HEIGHT, WIDTH), -1)
        for place, (x, y) in enumerate(scene.specks.tolist()):
            picture[y, x] = 255 * np.roll([1.0, 0.2, 0.1], place)
        areas = []
        for place, shape in enumerate(scene.shapes):
            mask = draw_shape(shape, frame)
            picture[mask], owner[mask] = shape.rgb, place
            areas.append(int(mask.sum()))
            if shape.striped:
                across = int(shape.center(frame)[1])
                stripe = mask & (np.abs(np.arange(HEIGHT) - across) <= 1)[:, None]
                picture[stripe] = 150
        left, right = scene.pillar
        picture[:, left:right], owner[:, left:right] = 95, -1
        yield lit(picture, scene, frame), visible_boxes(scene, owner, areas, frame)


def draw_shape(shape: Shape, frame: int) -> np.ndarray:
    """Return the pixels (HEIGHT, WIDTH) of bool of a shape."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    corners = np.rint(shape.center(frame) + shape.corners).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1)
    return mask.astype(bool)


def lit(picture: np.ndarray, scene: Scene, frame: int) -> np.ndarray:
    """Return the picture under the scene's light, with the camera's noise."""
    share = frame / (FRAMES - 1)
    gains: np.ndarray = np.ones(3)
    if scene.light == "dimming":
        gains = np.full(3, 1 - 0.75 * share)
    elif scene.light == "flicker":
        gains = np.full(3, 0.65 + 0.35 * np.cos(frame * 2.1))
    elif scene.light == "warm":
        gains = 1 + share * np.array([0.1, -0.2, -0.55])
    picture = picture * gains
    if scene.light == "shadow":
        edge = int(WIDTH * (0.2 + 0.6 * share))
        picture[:, :edge] *= 0.35
    noise = scene.generator.normal(0, 5, picture.shape)
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), dtype=np.uint8)


def visible_boxes(scene: Scene, owner: np.ndarray, areas: list[int], frame: int) -> list[Track]:
    """Return the box around the visible pixels of each shape of which enough is visible."""
    tracks = []
    for place, shape in enumerate(scene.shapes):
        rows, columns = np.nonzero(owner == place)
        if len(rows) < VISIBLE * areas[place]:
            continue
        box = Box(
            x1=int(columns.min()),
            y1=int(rows.min()),
            x2=int(columns.max()) + 1,
            y2=int(rows.max()) + 1,
            label=shape.label,
        )
        tracks.append(Track(id=place, box=box, label=shape.label, frame=frame))
    return tracks
