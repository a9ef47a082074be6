"""Photographs of printed sheets on real backgrounds; no background is in two splits."""

from collections.abc import Iterator

import cv2
import numpy as np

from slipway.datasets import Dataset
from slipway.media import Point

from .model import Photo, Sheet
from .photos import make_photo

BACKGROUNDS = {
    "train": ("aloeL.jpg", "baboon.jpg", "board.jpg", "fruits.jpg", "leuvenA.jpg", "stuff.jpg"),
    "test": ("building.jpg", "butterfly.jpg", "graf1.png", "rubberwhale1.png", "squirrel_cls.jpg"),
}
# One photograph in this many has no sheet.
BLANK_EVERY = 10


def splits(
    dataset: Dataset, *, seed: int, train: int, test: int
) -> dict[str, Iterator[tuple[Photo, Sheet]]]:
    """Return `train` and `test` photographs, each with the sheet's true corners."""
    return {
        "train": photographs(dataset, "train", train, seed),
        "test": photographs(dataset, "test", test, seed + 1),
    }


def photographs(
    dataset: Dataset, part: str, count: int, seed: int
) -> Iterator[tuple[Photo, Sheet]]:
    """Yield photographs on the backgrounds of one split in turn.

    Raises:
        ValueError: a background cannot be read.
    """
    backgrounds = [read_picture(dataset, name) for name in BACKGROUNDS[part]]
    generator = np.random.default_rng(seed)
    for number in range(count):
        background = backgrounds[number % len(backgrounds)]
        blank = number % BLANK_EVERY == BLANK_EVERY - 1
        made = make_photo(background, generator, blank=blank)
        corners = [] if made.corners is None else np.round(made.corners, 3).tolist()
        yield Photo(image=made.jpeg), Sheet(corners=[Point(x=x, y=y) for x, y in corners])


def read_picture(dataset: Dataset, name: str) -> np.ndarray:
    """Return a picture of the data set, (height, width, 3) of uint8 in RGB.

    Raises:
        ValueError: it cannot be read.
    """
    picture = cv2.imread(str(dataset.path(name)), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{dataset.entry.name}: {name} is not a picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
