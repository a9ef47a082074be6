"""Photographs of cats and dogs, without copies of each other."""

import re

import numpy as np

from slipway.datasets import Dataset
from slipway.kits.readers.archive import by_folder
from slipway.media import decode_image

from .model import PetPhoto

# By eye: the one pair with a correlation of 0.999 is the same photograph, the next, with 0.91, and
# all below show different animals.
SAME = 0.95
# Every fourth photograph tests.
TESTED = 4


def splits(dataset: Dataset) -> dict[str, list[tuple[PetPhoto, str]]]:
    """Return the photographs by split, cats and dogs in turn, each with its label."""
    numbered = sorted(
        (int(re.findall(r"\d+", name)[-1]), label, content)
        for label, name, content in by_folder(dataset.path("cats_dogs_2k_96px.tar.xz"))
    )
    kept = distinct([content for _, _, content in numbered])
    rows = {"train": [], "test": []}  # type: dict[str, list[tuple[PetPhoto, str]]]
    for (number, label, content), keep in zip(numbered, kept, strict=True):
        if keep:
            split = "train" if number % TESTED else "test"
            rows[split].append((PetPhoto(image=content), label))
    return rows


def distinct(pictures: list[bytes]) -> np.ndarray:
    """Return which pictures to keep (rows,): all but copies of an earlier one, also mirrored."""
    small = np.stack([thumbnail(each) for each in pictures])
    mirrored = small.reshape(-1, 12, 12)[:, :, ::-1].reshape(small.shape)
    alike = np.maximum(small @ small.T, small @ mirrored.T) >= SAME
    return np.asarray(~np.tril(alike, -1).any(axis=1))


def thumbnail(content: bytes) -> np.ndarray:
    """Return a picture in gray, 12 x 12 values (144,) with mean 0 and length 1."""
    values = decode_image(content, "L", 12).astype(np.float64).ravel()
    values -= values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9))
