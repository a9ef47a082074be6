"""Sets of overlapping photos with their scenes; no scene is in two splits."""

from collections.abc import Iterator

import cv2
import numpy as np

from slipway.datasets import Dataset
from slipway.media import decode_image, encode_jpeg

from .crops import OVERLAPS, make_crops, resized
from .model import PhotoSet, TrueScene, placed_photos
from .stitching import Recipe, place_photos

SCENES = {
    "train": (
        "aloeL.jpg",
        "baboon.jpg",
        "board.jpg",
        "leuvenA.jpg",
        "squirrel_cls.jpg",
        "stuff.jpg",
    ),
    "test": (
        *("building.jpg", "butterfly.jpg", "fruits.jpg", "graf1.png", "home.jpg"),
        "starry_night.jpg",
    ),
}
# One set in so many also has a photo of another scene.
STRANGER_EVERY = 4
# What many tutorials do.
BASELINE = Recipe(detector="orb", refined=False, equal=False, blender="none")


def splits(
    dataset: Dataset, *, seed: int, train: int, test: int
) -> dict[str, Iterator[tuple[PhotoSet, TrueScene]]]:
    """Return `train` and `test`: so many sets of each scene at each overlap."""
    return {
        "train": sets(dataset, "train", train, seed),
        "test": sets(dataset, "test", test, seed + 1),
    }


def sets(
    dataset: Dataset, part: str, draws: int, seed: int
) -> Iterator[tuple[PhotoSet, TrueScene]]:
    """Yield sets of two to four photos, in random order, of each scene in turn."""
    scenes = [resized(read_scene(dataset, name)) for name in SCENES[part]]
    generator = np.random.default_rng(seed)
    number = 0
    for _ in range(draws):
        for overlap in OVERLAPS:
            for place, scene in enumerate(scenes):
                count = int(generator.integers(2, 5))
                crops = make_crops(scene, generator, count, overlap)
                photos = [(each.jpeg, each.matrix.ravel().tolist()) for each in crops]
                if number % STRANGER_EVERY == STRANGER_EVERY - 1:
                    other = scenes[place - 1]
                    photos.append((make_crops(other, generator, 1, overlap)[0].jpeg, []))
                number += 1
                # The first photo belongs to the scene, as a panorama is compared through it.
                order = [0, *(1 + generator.permutation(len(photos) - 1)).tolist()]
                yield labelled([photos[row] for row in order], scene, overlap)


def labelled(
    photos: list[tuple[bytes, list[float]]], scene: np.ndarray, overlap: float
) -> tuple[PhotoSet, TrueScene]:
    """Return a set of photos with its label, and with what the baseline does with it."""
    images = [decode_image(jpeg) for jpeg, _ in photos]
    placement, _ = place_photos(images, BASELINE)
    baseline = placed_photos(len(images), placement, images, {})
    label = TrueScene(
        scene=encode_jpeg(scene, quality=95),
        matrices=[matrix for _, matrix in photos],
        overlap=overlap,
        baseline=[each.matrix for each in baseline],
    )
    return PhotoSet(images=[jpeg for jpeg, _ in photos]), label


def read_scene(dataset: Dataset, name: str) -> np.ndarray:
    """Return a picture of the data set, (height, width, 3) of uint8 in RGB.

    Raises:
        ValueError: it cannot be read.
    """
    picture = cv2.imread(str(dataset.path(name)), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{dataset.entry.name}: {name} is not a picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
