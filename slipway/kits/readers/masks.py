"""Pictures with a second picture that holds the class of each pixel."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from slipway.kits.readers.archive import PICTURES, read_files
from slipway.media import decode_image


def mask_pairs(
    place: Path, images: str = "images", masks: str = "labels"
) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """Yield name, encoded picture and class numbers (height, width) of each pair of files.

    A pair has the same name, without its suffix, in the folders `images` and `masks` of a folder or
    archive. A mask is a grey picture whose values are the numbers.

    Raises:
        ValueError: there are no pictures, or one has no mask.
    """
    files = {}
    for name, content in read_files(place, PICTURES):
        path = PurePosixPath(name)
        files[path.parent.as_posix(), path.stem] = content
    pictures = sorted(stem for folder, stem in files if folder == images)
    if not pictures:
        raise ValueError(f"{place.name} has no pictures in a folder {images}")
    for stem in pictures:
        if (masks, stem) not in files:
            raise ValueError(f"{place.name} has no mask {masks}/{stem}")
        yield stem, files[images, stem], decode_image(files[masks, stem], "L")
