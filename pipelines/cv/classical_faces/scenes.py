"""Scenes: faces of known people, pasted into photographs without faces."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import cv2
import numpy as np

from slipway.datasets import fetch
from slipway.media import box_overlaps

from .framing import face_square

HEIGHT, WIDTH = 360, 480
# The first two of the file's 40 people are not of the original database: they are photographs of
# one woman in other places.
EVERYBODY = range(2, 40)
# Photographs and drawings without a face.
PLACES = {
    "opencv_samples": (
        *("aloeL.jpg", "baboon.jpg", "board.jpg", "building.jpg", "butterfly.jpg", "fruits.jpg"),
        *("graf1.png", "home.jpg", "leuvenA.jpg", "rubberwhale1.png", "smarties.png"),
        *("squirrel_cls.jpg", "starry_night.jpg", "stuff.jpg", "sudoku.png"),
    ),
    "skimage_samples": (
        *("brick.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png"),
        *("hubble_deep_field.jpg", "ihc.png", "retina.jpg", "rocket.jpg", "text.png"),
    ),
}
# People and backgrounds are dealt to the splits at random, so that none is harder by choice.
SEED = 11
SHARES = {"train": (20, 11), "validation": (8, 7), "test": (10, 7)}
"""The number of people and of backgrounds in each split."""


def dealt() -> dict[str, tuple[list[int], list[tuple[str, str]]]]:
    """Return people and backgrounds (data set and file) of each split; none is in two."""
    generator = np.random.default_rng(SEED)
    people = generator.permutation(EVERYBODY).tolist()
    named = [(folder, name) for folder, names in PLACES.items() for name in names]
    places = [named[place] for place in generator.permutation(len(named))]
    parts, person, place = {}, 0, 0
    for part, (count, pictures) in SHARES.items():
        parts[part] = people[person : person + count], places[place : place + pictures]
        person, place = person + count, place + pictures
    return parts


# Sides of faces in pixels: as many between 24 and 48 as between 48 and 96.
SIDES = 24, 130
# Degrees that a head is turned to its shoulder.
TURN = 20
# The head, by the side of the square around its face, with a soft edge.
HEAD, EDGE = (0.56, 0.78), 0.1
MOST_FACES = 3
EMPTY = 1 / 8
"""The share of scenes without a face."""
# The middle of a portrait's brightness.
GREY = 110
MARKS = Path(__file__).with_name("marks.json")


@dataclass(frozen=True)
class Portrait:
    """A person's picture with the eyes and the mouth."""

    person: int
    picture: np.ndarray
    """Grey, (112, 92)."""
    landmarks: np.ndarray
    """Left eye, right eye and mouth, (3, 2)."""


@dataclass(frozen=True)
class Scene:
    """A grey picture with the landmarks (faces, 3, 2) of its faces."""

    picture: np.ndarray
    landmarks: np.ndarray
    people: list[int]
    background: str


def portraits(part: str) -> list[Portrait]:
    """Return all portraits of the people of one split."""
    with np.load(fetch("att_orl_faces").path("att_orl_faces.npz")) as file:
        pictures = file["faces"]
    marks = np.array(json.loads(MARKS.read_text())).reshape(*pictures.shape[:2], 3, 2)
    return [
        Portrait(person, pictures[person, take], marks[person, take])
        for person in dealt()[part][0]
        for take in range(pictures.shape[1])
    ]


def backgrounds(part: str) -> dict[str, np.ndarray]:
    """Return the grey pictures of one split by name, at least as large as a scene."""
    folders = {
        "opencv_samples": fetch("opencv_samples"),
        "skimage_samples": fetch("skimage_samples"),
    }
    found = {}
    for folder, name in dealt()[part][1]:
        gray = np.asarray(cv2.imread(str(folders[folder].path(name)), cv2.IMREAD_GRAYSCALE))
        scale = max(HEIGHT / gray.shape[0], WIDTH / gray.shape[1])
        found[name] = np.asarray(cv2.resize(gray, None, fx=max(scale, 1), fy=max(scale, 1)))
    return found


def scenes(part: str, count: int, generator: np.random.Generator) -> Iterator[Scene]:
    """Yield `count` scenes of one split; portraits return only after all were used."""
    faces, places = portraits(part), list(backgrounds(part).items())
    order = chain.from_iterable(generator.permutation(len(faces)) for _ in repeat(None))
    for number in range(count):
        name, picture = places[number % len(places)]
        scene = Scene(crop(picture, generator), np.empty((0, 3, 2)), [], name)
        wanted = int(generator.integers(1, MOST_FACES + 1)) if generator.random() > EMPTY else 0
        for _ in range(wanted):
            scene = pasted(scene, faces[next(order)], generator)
        yield Scene(camera(scene.picture, generator), scene.landmarks, scene.people, name)


def crop(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a part of the picture, by chance mirrored and up to twice as large as a scene."""
    most = min(picture.shape[0] / HEIGHT, picture.shape[1] / WIDTH)
    scale = generator.uniform(1, min(most, 2)) if most > 1 else 1.0
    height, width = (min(round(side * scale), full) for side, full in
                     zip((HEIGHT, WIDTH), picture.shape, strict=True))  # fmt: skip
    top = int(generator.integers(picture.shape[0] - height + 1))
    left = int(generator.integers(picture.shape[1] - width + 1))
    part = picture[top : top + height, left : left + width]
    part = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(part[:, ::-1] if generator.random() < 0.5 else part)


def pasted(scene: Scene, face: Portrait, generator: np.random.Generator) -> Scene:
    """Return the scene with one face more: scaled, mirrored and turned by chance.

    Without a free place after 20 tries, the scene is returned as it was.
    """
    picture, landmarks = face.picture, face.landmarks
    if generator.random() < 0.5:
        picture = picture[:, ::-1]
        landmarks = (np.array([picture.shape[1] - 1, 0]) + landmarks * [-1, 1])[[1, 0, 2]]
    square = face_square(landmarks)
    middle = (square[:2] + square[2:]) / 2
    side = float(np.exp(generator.uniform(*np.log(SIDES))))
    turn = cv2.getRotationMatrix2D(
        middle.tolist(), generator.uniform(-TURN, TURN), side / (square[2] - square[0])
    )
    taken = np.array([face_square(each) for each in scene.landmarks]).reshape(-1, 4)
    for _ in range(20):
        target = generator.uniform((0.6 * side, 0.7 * side),
                                   (WIDTH - 0.6 * side, HEIGHT - 0.7 * side))  # fmt: skip
        reach = np.array([*(target - 0.8 * side), *(target + 0.8 * side)])
        if not (box_overlaps(reach[None], taken) > 0).any():
            break
    else:
        return scene
    turn[:, 2] += target - middle
    moved = landmarks @ turn[:, :2].T + turn[:, 2]
    mask = head_mask(square, picture.shape)
    size = WIDTH, HEIGHT
    over, share = (cv2.warpAffine(each, turn, size, flags=cv2.INTER_AREA)
                   for each in (picture.astype(np.float32), mask))  # fmt: skip
    mixed = scene.picture * (1 - share) + lit(over, target, side, generator) * share
    return Scene(
        np.rint(mixed).astype(np.uint8),
        np.concatenate([scene.landmarks, moved[None]]),
        [*scene.people, face.person],
        scene.background,
    )


def lit(
    face: np.ndarray, middle: np.ndarray, side: float, generator: np.random.Generator
) -> np.ndarray:
    """Return the face under other light: darker or brighter, flatter, and stronger on one side."""
    angle, slope = generator.uniform(0, 2 * np.pi), generator.uniform(0, 0.9)
    row, column = np.indices(face.shape)
    across = ((column - middle[0]) * np.cos(angle) + (row - middle[1]) * np.sin(angle)) / side
    contrast, light = generator.uniform(0.35, 1), generator.uniform(-50, 30)
    flat = (face - GREY) * contrast + GREY + light
    return np.asarray(np.clip(flat * np.clip(1 + slope * across, 0.1, 2), 0, 255))


def head_mask(square: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the share (height, width) with which each pixel of a portrait covers the scene."""
    side = square[2] - square[0]
    middle = (square[:2] + square[2:]) / 2 - [0, 0.04 * side]
    row, column = np.indices(shape[:2])
    radius = np.hypot((column - middle[0]) / (HEAD[0] * side), (row - middle[1]) / (HEAD[1] * side))
    return np.asarray(np.clip((1 - radius) / EDGE + 0.5, 0, 1), dtype=np.float32)


def camera(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the picture a little blurred, and with the noise of a camera."""
    blurred = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.3, 1.2)).astype(np.float64)
    noisy = blurred + generator.normal(0, generator.uniform(1, 12), picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
