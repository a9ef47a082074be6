"""Drawings with known edges and shapes, made from two seeds."""

from collections.abc import Iterator

import numpy as np

from slipway.datasets import Dataset
from slipway.media import Box, encode_png

from .drawings import make_drawings
from .model import BASELINE, Drawing, Scene, detect, named_boxes
from .shapes import find_outlines


def splits(
    dataset: Dataset, *, seed: int, train: int, test: int
) -> dict[str, Iterator[tuple[Scene, Drawing]]]:
    """Return `train` and `test`: so many drawings at each level of each property.

    The data set holds the photographs of the report; no row is made of them.
    """
    return {"train": scenes(train, seed), "test": scenes(test, seed + 1)}


def scenes(draws: int, seed: int) -> Iterator[tuple[Scene, Drawing]]:
    """Yield drawings with their labels."""
    for made in make_drawings(np.random.default_rng(seed), draws):
        boxes = []
        for name, (x1, y1, x2, y2) in made.shapes:
            boxes.append(Box(x1=x1, y1=y1, x2=x2, y2=y2, label=name))
        scene = Scene(image=encode_png(made.image))
        edges = detect(scene, BASELINE)[0]
        found = find_outlines(edges, BASELINE.namer, scene.min_area)
        yield (
            scene,
            Drawing(
                edges=encode_png(made.edges),
                shapes=boxes,
                condition=made.condition,
                level=made.level,
                baseline=named_boxes(found, edges.shape),
            ),
        )
