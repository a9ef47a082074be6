"""Small photographs of animals and vehicles in the publisher's split, without copies across it."""

from collections.abc import Iterator

from slipway.datasets import Dataset
from slipway.kits.readers.cifar10 import read_cifar10

from .model import SmallPhoto

Row = tuple[SmallPhoto, str]


def splits(dataset: Dataset) -> dict[str, Iterator[Row]]:
    """Return the photographs by split, each with its label, the labels in turn.

    All test pictures test; training pictures that nearly equal one of them, also mirrored, are left
    out.
    """
    parts = read_cifar10(dataset.path("cifar10_jpeg.tar.xz"))
    return {
        split: ((SmallPhoto(image=each.content), each.label) for each in pictures)
        for split, pictures in parts.items()
    }
