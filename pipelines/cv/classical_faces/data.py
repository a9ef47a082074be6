"""Scenes with known faces, patches of faces, and photographs that were marked by hand."""

from collections.abc import Iterable, Iterator

import numpy as np

from slipway.datasets import Dataset
from slipway.media import Box, Point, encode_jpeg, encode_png

from .detectors import CASCADE, HOG
from .framing import face_square
from .model import FACE, FacePhoto, MarkedFaces
from .photographs import photographs
from .references import References, boxes_of
from .scenes import Scene, scenes

Rows = Iterator[tuple[FacePhoto, MarkedFaces]]
# The patches are set a pixel to the left of where other faces are framed.
SHIFT = 1


def splits(
    dataset: Dataset, *, seed: int, train: int, validation: int, test: int
) -> dict[str, Rows]:
    """Return `train`, `validation` and `test`, and `patches` for training.

    Each test picture comes once for every method, the photographs before the scenes.
    """
    parts = {"train": train, "validation": validation, "test": test}
    made = {
        name: list(scenes(name, count, np.random.default_rng((seed, place))))
        for place, (name, count) in enumerate(parts.items())
    }
    return {
        "train": rows(made["train"], (HOG,)),
        "validation": rows(made["validation"], ("auto",)),
        "test": rows([*photographs(), *made["test"]], ("auto", CASCADE, HOG), References()),
        "patches": patches(dataset),
    }


def rows(
    pictures: Iterable[Scene], methods: tuple[str, ...], references: References | None = None
) -> Rows:
    """Yield the pictures as JPEG with their marks, once for each method."""
    for scene in pictures:
        image = encode_jpeg(scene.picture, quality=92)
        label = marked(scene, references)
        for method in methods:
            # Scenes have faces from 24 pixels on.
            yield FacePhoto(image=image, method=method, min_face=24), label


def marked(scene: Scene, references: References | None = None) -> MarkedFaces:
    """Return the label of a scene, with what the references find in it."""
    squares = np.round([face_square(each) for each in scene.landmarks], 1).reshape(-1, 4)
    eyes = np.round(scene.landmarks[:, :2], 1).reshape(-1, 2).tolist()
    found, found_eyes = references.yunet(scene.picture, FACE) if references else ([], [])
    return MarkedFaces(
        faces=boxes_of((squares, np.ones(len(squares))), FACE),
        eyes=[Point(x=x, y=y) for x, y in eyes],
        people=scene.people,
        source=scene.background,
        baseline=references.baseline(scene.picture, FACE) if references else [],
        yunet=found,
        yunet_eyes=found_eyes,
    )


def patches(dataset: Dataset) -> Rows:
    """Yield the patches, cut to the frame of other faces: 100 faces, then 100 without one."""
    levels = np.rint(np.load(dataset.path("lfw_subset.npy")) * 255).astype(np.uint8)
    side = levels.shape[1] - SHIFT
    whole = Box(x1=0, y1=0, x2=side, y2=side, label=FACE)
    for number, patch in enumerate(levels):
        moved = np.pad(patch, ((0, 0), (SHIFT, 0)), mode="edge")[:side, :side]
        faces = [whole] if number < len(levels) // 2 else []
        label = MarkedFaces(faces=faces, eyes=[], people=[], source=f"patch {number}")
        yield FacePhoto(image=encode_png(moved)), label
