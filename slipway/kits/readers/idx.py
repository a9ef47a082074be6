"""The IDX format of MNIST and its relatives."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np


def read_idx(file: Path) -> np.ndarray:
    """Read an array of bytes in the IDX format, from a `.gz` as well.

    The format is two zero bytes, type 8, the number of axes, their lengths, the values.

    Raises:
        ValueError: the file has another format.
    """
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{file} is not an IDX file of unsigned bytes")
    axes = content[3]
    lengths = np.frombuffer(content, ">u4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(lengths)


def labelled_idx(
    images: Path, labels: Path, names: Sequence[str]
) -> Iterator[tuple[np.ndarray, str]]:
    """Yield each picture (height, width) with the name of its label.

    Raises:
        ValueError: pictures and labels do not fit each other, or a label has no name.
    """
    pictures, numbers = read_idx(images), read_idx(labels)
    if pictures.ndim != 3 or numbers.shape != pictures.shape[:1] or numbers.max() >= len(names):
        raise ValueError(
            f"{images.name} has pictures of shape {pictures.shape}, and {labels.name} labels of "
            f"shape {numbers.shape} up to {numbers.max()} for {len(names)} names"
        )
    for picture, number in zip(pictures, numbers, strict=True):
        yield picture, names[number]
