"""Sounds of a folder or archive, each with the label in its name or folder."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from slipway.kits.readers.archive import SOUNDS, read_files
from slipway.media import decode_audio


def folder_of(name: str) -> str:
    """Return the name of the folder in which the file `name` lies."""
    return PurePosixPath(name).parent.name


def labelled_sounds(
    place: Path, sample_rate: int, label: Callable[[str], str] = folder_of
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the label and the samples (samples,) float32 of every wav file, in one channel.

    `label` makes it of the file's path inside `place`; by default it is the folder's name.
    """
    for name, content in read_files(place, SOUNDS):
        yield label(name), decode_audio(content, sample_rate)
