"""Garments as PNG files in the data set's own split, and handwritten digits to compare with."""

from collections.abc import Iterator
from itertools import islice

from slipway.datasets import Dataset, fetch
from slipway.kits.readers.idx import labelled_idx
from slipway.media import encode_png

from .model import LABELS, Garment

DIGITS = tuple("0123456789")
Rows = Iterator[tuple[Garment, str]]


def splits(dataset: Dataset, *, digits: int) -> dict[str, Rows]:
    """Return labelled pictures by split.

    The split `digits` holds the first `digits` training pictures of MNIST, as PNG too.
    """
    return {
        "train": pictures(dataset, "train", LABELS, ".gz"),
        "test": pictures(dataset, "t10k", LABELS, ".gz"),
        "digits": islice(pictures(fetch("mnist"), "train", DIGITS), digits),
    }


def pictures(dataset: Dataset, part: str, names: tuple[str, ...], suffix: str = "") -> Rows:
    """Yield each picture of `part` with the name of its label."""
    images = dataset.path(f"{part}-images-idx3-ubyte{suffix}")
    labels = dataset.path(f"{part}-labels-idx1-ubyte{suffix}")
    for image, label in labelled_idx(images, labels, names):
        yield Garment(image=encode_png(image)), label
