"""CIFAR-10 without the training pictures that nearly equal a test picture.

Barz and Denzler found 3 % of the test pictures again in the training pictures, slightly changed
(https://arxiv.org/abs/1902.00423).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipway.kits.readers.archive import by_folder
from slipway.media import decode_image

# Names of the training pictures that reach SAME, one a line; `copies` finds them in half a minute.
COPIES = Path(__file__).with_name("cifar10_copies.txt")
# By eye, copies are frequent above 0.96 and rare below 0.93. Other pictures of blue sky reach this,
# too: leaving them out costs 2 % of the training pictures.
SAME = 0.93
CHUNK = 5000


@dataclass(frozen=True)
class NamedPicture:
    """A picture of 32 x 32 pixels."""

    name: str
    content: bytes
    label: str


def read_cifar10(archive: Path) -> dict[str, list[NamedPicture]]:
    """Return the pictures of the publisher's split, `train` and `test`, the labels in turn.

    Training pictures like a test picture, also mirrored, are left out.
    """
    parts = read_all(archive)
    left_out = set(COPIES.read_text().split())
    return {**parts, "train": [each for each in parts["train"] if each.name not in left_out]}


def read_all(archive: Path) -> dict[str, list[NamedPicture]]:
    """Return all pictures of the publisher's split, the labels in turn."""
    found: dict[str, list[NamedPicture]] = {"train": [], "test": []}
    for label, name, content in by_folder(archive):
        place = name.split("/")[-3:]
        found[place[0]].append(NamedPicture("/".join(place), content, label))
    return {split: sorted(each, key=in_turn) for split, each in found.items()}


def in_turn(picture: NamedPicture) -> tuple[str, str]:
    """Return the number of a picture in its label, and the label."""
    return Path(picture.name).name, picture.label


def copies(archive: Path) -> Iterator[str]:
    """Yield the name of each training picture that nearly equals a test picture."""
    parts = read_all(archive)
    alike = likeness(*([each.content for each in rows] for rows in parts.values()))
    for picture, value in zip(parts["train"], alike, strict=True):
        if value >= SAME:
            yield picture.name


def likeness(pictures: list[bytes], others: list[bytes]) -> np.ndarray:
    """Return the highest correlation of each picture with one of the others (rows,).

    Pictures are compared, also mirrored, by the mean colors of 8 x 8 parts.
    """
    compared = thumbnails(others)
    both = np.concatenate([compared, compared.reshape(-1, 8, 8, 3)[:, :, ::-1].reshape(-1, 192)])
    small = thumbnails(pictures)
    starts = range(0, len(small), CHUNK)
    return np.concatenate([(small[at : at + CHUNK] @ both.T).max(axis=1) for at in starts])


def thumbnails(pictures: list[bytes]) -> np.ndarray:
    """Return the mean colors of 8 x 8 parts (rows, 192) float32, with mean 0 and length 1."""
    rows = np.empty((len(pictures), 192), dtype=np.float32)
    for row, content in zip(rows, pictures, strict=True):
        parts = decode_image(content).reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)).ravel()
        row[:] = parts - parts.mean()
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))
