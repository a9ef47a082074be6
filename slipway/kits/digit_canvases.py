"""Small labelled pictures made of handwritten digits, with which skeletons of projects train."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipway.media import Box

LABELS = tuple("0123456789")
SIDE = 8


@dataclass(frozen=True)
class Canvas:
    """Digits on a dark, noisy picture."""

    image: np.ndarray
    """Brightness (side, side) uint8."""
    boxes: list[Box]
    classes: np.ndarray
    """For each pixel 0 for the background, or 1 for a digit's ink."""


def read_digits(file: Path) -> tuple[np.ndarray, list[str]]:
    """Return pictures (rows, 8, 8) uint8 and labels from scikit-learn's `digits.csv.gz`."""
    table = np.loadtxt(file, delimiter=",")
    images = np.round(table[:, :-1] * 255 / 16).astype(np.uint8).reshape(-1, SIDE, SIDE)
    return images, [LABELS[int(number)] for number in table[:, -1]]


def digit_canvases(file: Path, count: int, seed: int, side: int = 64) -> Iterator[Canvas]:
    """Yield `count` pictures with two to four digits each, twice as large as they were."""
    images, labels = read_digits(file)
    generator = np.random.default_rng(seed)
    height = 2 * SIDE
    for _ in range(count):
        canvas = generator.integers(0, 60, (side, side)).astype(np.uint8)
        classes = np.zeros((side, side), dtype=np.uint8)
        boxes: list[Box] = []
        # A grid of places, so that digits do not cover each other.
        places = [(row, column) for row in range(side // 20) for column in range(side // 20)]
        for place in generator.choice(len(places), generator.integers(2, 5), replace=False):
            top, left = (20 * step + int(generator.integers(0, 4)) for step in places[place])
            row = int(generator.integers(len(images)))
            digit = np.kron(images[row], np.ones((2, 2), dtype=np.uint8))
            part = np.s_[top : top + height, left : left + height]
            canvas[part] = np.maximum(canvas[part], digit)
            classes[part] = digit > 100
            rows, columns = np.nonzero(digit > 100)
            x1, y1 = float(left + columns.min()), float(top + rows.min())
            x2, y2 = float(left + columns.max() + 1), float(top + rows.max() + 1)
            boxes.append(Box(x1=x1, y1=y1, x2=x2, y2=y2, label=labels[row]))
        yield Canvas(canvas, boxes, classes)
