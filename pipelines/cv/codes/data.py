"""Pictures of codes with their payloads; no payload and no background is in two splits."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath

import cv2
import numpy as np

from slipway.datasets import Dataset, fetch
from slipway.media import decode_image

from .model import CodeRequest, Payload
from .pictures import MadePicture, make_pictures
from .readers import READERS, normalized, retail

ARCHIVE = "zxing_barcode_samples.tar.xz"
# By folder of the archive.
KINDS = {
    **{f"qrcode-{number}": "qr_code" for number in (2, 5, 6, 7)},
    "ean13-1": "ean_13",
    "upca-1": "upc_a",
    "code128-1": "code_128",
    "aztec-1": "aztec",
    "datamatrix-1": "data_matrix",
    "pdf417-1": "pdf417",
}
BACKGROUNDS = {
    "train": ("aloeL.jpg", "baboon.jpg", "board.jpg", "leuvenA.jpg"),
    "test": ("building.jpg", "butterfly.jpg", "fruits.jpg", "rubberwhale1.png"),
}


def splits(
    dataset: Dataset, *, seed: int, train: int, test: int
) -> dict[str, Iterator[tuple[CodeRequest, Payload]]]:
    """Return `train` and `test`: half of the photographs each, and `train` and `test` draws."""
    parts = divide(read_photographs(dataset), seed)
    return {
        "train": rows(parts["train"], "train", train, seed + 1),
        "test": rows(parts["test"], "test", test, seed + 2),
    }


def divide(photographs: list[MadePicture], seed: int) -> dict[str, list[MadePicture]]:
    """Return half of the payloads as `train` and half as `test`.

    Some payloads are on several pictures, of which one may be a crop of another.
    """
    payloads = sorted({each.text for each in photographs})
    order = np.random.default_rng(seed).permutation(len(payloads))
    tested = {payloads[place] for place in order[: len(order) // 2]}
    parts: dict[str, list[MadePicture]] = {"train": [], "test": []}
    for each in photographs:
        parts["test" if each.text in tested else "train"].append(each)
    return parts


def rows(
    photographs: list[MadePicture], part: str, draws: int, seed: int
) -> Iterator[tuple[CodeRequest, Payload]]:
    """Yield the made pictures and the photographs of one split, in random order."""
    generator = np.random.default_rng(seed)
    made = list(make_pictures(read_backgrounds(part), generator, draws))
    every = [*photographs, *made]
    for place in generator.permutation(len(every)):
        each = every[place]
        seen = READERS["baseline"](decode_image(each.jpeg, "L"))
        texts = [code.text for code in seen]
        # Of several codes, the one that the label means.
        baseline = each.text if each.text in texts else "".join(texts[:1])
        payload = Payload(
            kind=each.kind,
            text=each.text,
            condition=each.condition,
            level=each.level,
            baseline=baseline,
        )
        yield CodeRequest(image=each.jpeg), payload


def read_photographs(dataset: Dataset) -> list[MadePicture]:
    """Return the pictures of the archive that have a payload, in order of their names.

    Raises:
        ValueError: a folder is not known.
    """
    content: dict[PurePosixPath, bytes] = {}
    with tarfile.open(dataset.path(ARCHIVE)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                content[PurePosixPath(member.name)] = file.read()
    found = []
    for path in sorted(content):
        text = content.get(path.with_suffix(".txt"))
        if path.suffix not in (".jpg", ".png") or text is None:
            continue
        if path.parent.name not in KINDS:
            raise ValueError(f"{ARCHIVE}: no kind is known for the folder {path.parent.name}")
        kind, payload = retail(KINDS[path.parent.name], text.decode())
        found.append(MadePicture(content[path], kind, normalized(payload), "photograph", 0))
    return found


def read_backgrounds(part: str) -> list[np.ndarray]:
    """Return the photographs (height, width) before which codes of a split are held.

    Raises:
        ValueError: one cannot be read.
    """
    dataset = fetch("opencv_samples")
    found = []
    for name in BACKGROUNDS[part]:
        picture = cv2.imread(str(dataset.path(name)), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise ValueError(f"opencv_samples: {name} is not a picture")
        found.append(picture)
    return found
