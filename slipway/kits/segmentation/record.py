"""Classes of pixels as masks."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import PIL.Image

from slipway.contract import Record
from slipway.media import Mask, decode_image


class Segmentation(Record):
    """A mask for each label that occurs in one picture, in the picture's own size."""

    masks: list[Mask]

    @classmethod
    def from_classes(cls, classes: np.ndarray, labels: Sequence[str]) -> Self:
        """Return the masks of class numbers (height, width): 0 is the background, 1 `labels[0]`."""
        masks = [
            Mask.from_array(classes == number, label)
            for number, label in enumerate(labels, start=1)
            if (classes == number).any()
        ]
        return cls(masks=masks)

    def classes(self, labels: Sequence[str], size: tuple[int, int]) -> np.ndarray:
        """Return class numbers (height, width) of `size`; where masks overlap, the last counts."""
        classes = np.zeros(size, dtype=np.uint8)
        for mask in self.masks:
            inside = resized(mask.array().astype(np.uint8), size) > 0
            classes[inside] = list(labels).index(mask.label) + 1
        return classes


def segment(
    records: Sequence[Any],
    probabilities: np.ndarray,
    kind: type[Segmentation],
    labels: Sequence[str],
) -> list[Any]:
    """Return a `kind` per picture from probabilities (rows, labels + 1, height, width).

    The most probable class counts, background first; masks have the size of the picture.
    """
    best = probabilities.argmax(axis=1).astype(np.uint8)
    sizes = [decode_image(each.image, each.mode).shape[:2] for each in records]
    pairs = zip(best, sizes, strict=True)
    return [kind.from_classes(resized(each, size), labels) for each, size in pairs]


def resized(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return class numbers (height, width) uint8 in another size; no new numbers arise."""
    if classes.shape == size:
        return classes
    picture = PIL.Image.fromarray(classes)
    return np.asarray(picture.resize((size[1], size[0]), PIL.Image.Resampling.NEAREST))
