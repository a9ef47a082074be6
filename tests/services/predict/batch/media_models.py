"""Models of media for batch scoring, and folders and archives of files for them."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from slipway.media import encode_jpeg, encode_png

NEGATIVES = '''
"""Inverts pictures."""

import time
from pathlib import Path
from typing import Annotated

from slipway.contract import Model, Record, publish
from slipway.media import Image, decode_image, encode_png


class Photo(Record):
    image: Annotated[bytes, Image(max_side=512)]
    more: Annotated[list[bytes], Image()] = []
    note: str = ""


class Negative(Record):
    width: int
    note: str
    negative: Annotated[bytes | None, Image(formats=("PNG",))]
    halves: Annotated[list[bytes], Image(formats=("PNG",))]


class Negatives(Model):
    def load(self, weights: Path) -> None:
        self.pause = float((weights / "pause").read_text())

    def predict(self, model_input: list[Photo]) -> list[Negative]:
        time.sleep(self.pause)
        return [self.negative(each) for each in model_input]

    def negative(self, photo: Photo) -> Negative:
        inverted = 255 - decode_image(photo.image)
        halves = [inverted[:, :4], inverted[:, 4:]] if photo.note == "halves" else []
        return Negative(
            width=inverted.shape[1] + sum(decode_image(each).shape[1] for each in photo.more),
            note=photo.note,
            negative=encode_png(inverted),
            halves=[encode_png(each) for each in halves],
        )


publish(Negatives())
'''
COPIES = '''
"""Returns documents as they are."""

from typing import Annotated

from slipway.contract import Model, Record, publish
from slipway.media import Blob


class Document(Record):
    document: Annotated[bytes, Blob(media_type="application/pdf")]


class Copies(Model):
    def predict(self, model_input: list[Document]) -> list[Document]:
        return [Document(document=each.document) for each in model_input]


publish(Copies())
'''


def picture(number: int, *, format: str = "PNG") -> bytes:
    """Return a picture of `8 + number % 100` pixels' width whose colors depend on the number."""
    colors = np.random.default_rng(number).integers(0, 256, (6, 8 + number % 100, 3), np.uint8)
    return encode_png(colors) if format == "PNG" else encode_jpeg(colors)


def pictures(count: int) -> dict[str, bytes]:
    """Return as many pictures by their paths, in order."""
    return {f"photos/{number:04}.png": picture(number) for number in range(count)}


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write the files below a new folder."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def write_zip(file: Path, files: dict[str, bytes]) -> Path:
    """Write an archive with the files."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return file


def write_tar(file: Path, files: dict[str, bytes]) -> Path:
    """Write a tar archive with the files, compressed if the name ends in `gz`."""
    with tarfile.open(file, "w:gz" if file.name.endswith("gz") else "w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file
