"""Readers of data set formats, against files written here by the formats' definitions."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from slipway.kits.readers.archive import by_folder, read_files
from slipway.kits.readers.coco import read_coco
from slipway.kits.readers.idx import labelled_idx, read_idx
from slipway.media import Box


def idx(values: np.ndarray) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(
        f">{values.ndim}I", *values.shape
    )
    return head + values.tobytes()


def test_idx_pictures_come_with_the_names_of_their_labels(tmp_path: Path) -> None:
    pictures = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    images, labels = tmp_path / "images.gz", tmp_path / "labels"
    images.write_bytes(gzip.compress(idx(pictures)))
    labels.write_bytes(idx(np.array([1, 0], dtype=np.uint8)))
    assert (read_idx(images) == pictures).all()
    found = list(labelled_idx(images, labels, ("shoe", "bag")))
    assert [name for _, name in found] == ["bag", "shoe"]
    assert (found[1][0] == pictures[1]).all()
    with pytest.raises(ValueError, match="up to 1 for 1 names"):
        list(labelled_idx(images, labels, ("shoe",)))
    (tmp_path / "text").write_text("no pictures")
    with pytest.raises(ValueError, match="not an IDX file"):
        read_idx(tmp_path / "text")


FILES = {"dog/b.JPG": b"b", "cat/a.jpg": b"a", "readme.txt": b"text"}


def written(place: Path, files: dict[str, bytes]) -> Path:
    """Write files as a folder, or as an archive by the suffix of `place`."""
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
    elif place.suffix:
        with tarfile.open(place, "w:xz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"./{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    else:
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    return place


@pytest.mark.parametrize("kind", ["folder", "set.zip", "set.xz"])
def test_folders_and_archives_are_read_alike(tmp_path: Path, kind: str) -> None:
    place = written(tmp_path / kind, FILES)
    assert [name for name, _ in read_files(place)] == ["cat/a.jpg", "dog/b.JPG", "readme.txt"]
    assert list(by_folder(place)) == [("cat", "cat/a.jpg", b"a"), ("dog", "dog/b.JPG", b"b")]


def test_a_picture_without_a_folder_has_no_label(tmp_path: Path) -> None:
    place = written(tmp_path / "set.zip", {"a.png": b"a"})
    with pytest.raises(ValueError, match="a.png lies in no folder"):
        list(by_folder(place))
    with pytest.raises(ValueError, match="neither a folder nor"):
        list(read_files(place.with_name("none")))


COCO = {
    "categories": [{"id": 7, "name": "cell"}],
    "images": [
        {"id": 2, "file_name": "b.jpg", "split": "val"},
        {"id": 1, "file_name": "a.jpg"},
    ],
    "annotations": [
        {"image_id": 2, "category_id": 7, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"image_id": 2, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 1, "category_id": 7, "bbox": [1, 1, 0, 5]},
    ],
}


def test_coco_boxes_become_corners(tmp_path: Path) -> None:
    files = {"a.jpg": b"a", "b.jpg": b"b", "annotations.json": json.dumps(COCO).encode()}
    first, second = read_coco(written(tmp_path / "set.xz", files))
    assert (first.name, first.content, first.boxes, first.split) == ("a.jpg", b"a", [], "")
    assert second.boxes == [Box(x1=10, y1=20, x2=40, y2=60, label="cell")]
    assert second.split == "val"


def test_missing_pictures_and_annotations_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no annotations.json"):
        list(read_coco(written(tmp_path / "no.zip", {"a.jpg": b"a"})))
    files = {"b.jpg": b"b", "annotations.json": json.dumps(COCO).encode()}
    with pytest.raises(ValueError, match="no picture a.jpg"):
        list(read_coco(written(tmp_path / "one.zip", files)))
