"""Garments as PNG files in the data set's own split, and handwritten digits to compare with."""

import gzip
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from slipway.datasets import Dataset, fetch

from .model import LABELS, SIDE, Garment

DIGITS = tuple("0123456789")
Rows = Iterator[tuple[Garment, str]]


def splits(dataset: Dataset, *, digits: int) -> dict[str, Rows]:
    """Return labelled pictures by split.

    The split `digits` holds the first `digits` training pictures of MNIST, as PNG too.
    """
    mnist = fetch("mnist")
    return {
        "train": pictures(dataset, "train", LABELS, ".gz"),
        "test": pictures(dataset, "t10k", LABELS, ".gz"),
        "digits": islice(pictures(mnist, "train", DIGITS), digits),
    }


def pictures(dataset: Dataset, part: str, names: tuple[str, ...], suffix: str = "") -> Rows:
    """Yield each picture of `part` with the name of its label.

    Raises:
        ValueError: pictures and labels do not fit each other, or a label has no name.
    """
    images = idx(dataset.path(f"{part}-images-idx3-ubyte{suffix}"))
    labels = idx(dataset.path(f"{part}-labels-idx1-ubyte{suffix}"))
    if images.shape != (len(labels), SIDE, SIDE) or labels.max() >= len(names):
        raise ValueError(
            f"{dataset.entry.name}: {part} has images of shape {images.shape} and "
            f"labels of shape {labels.shape}"
        )
    for image, label in zip(images, labels, strict=True):
        yield Garment(image=png(image)), names[label]


def idx(file: Path) -> np.ndarray:
    """Read an array of bytes in the IDX format.

    The format is two zero bytes, type 8, the number of axes, their lengths, the values.
    """
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    axes = content[3]
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{file} is not an IDX file of unsigned bytes")
    lengths = np.frombuffer(content, ">u4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(lengths)


def png(image: np.ndarray) -> bytes:
    """Encode a grey picture as PNG."""
    stream = BytesIO()
    # Level 1 costs 4 % more bytes than level 6, and less time.
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
