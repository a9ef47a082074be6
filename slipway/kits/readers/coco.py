"""Pictures with boxes in COCO's annotation format."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway.kits.readers.archive import read_files
from slipway.media import Box


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture with the objects that people marked in it."""

    name: str
    content: bytes
    """The encoded picture."""
    boxes: list[Box]
    split: str
    """The split that the annotations name, such as `train`; empty if they name none."""


def read_coco(place: Path, annotations: str = "annotations.json") -> Iterator[AnnotatedPicture]:
    """Yield the pictures of a folder or archive in the order of their names, each with its boxes.

    Annotations with `iscrowd`, which mark several objects at once, are left out, as are those
    without an area.

    Raises:
        ValueError: there is no annotation file, or a picture that it names is missing.
    """
    files = dict(read_files(place))
    if annotations not in files:
        raise ValueError(f"{place.name} has no {annotations}; it has {sorted(files)[:3]} ...")
    content = json.loads(files[annotations])
    names = {each["id"]: each["name"] for each in content["categories"]}
    boxes: dict[int, list[Box]] = {each["id"]: [] for each in content["images"]}
    for each in content["annotations"]:
        left, top, width, height = each["bbox"]
        if not each.get("iscrowd") and width > 0 and height > 0:
            box = Box(
                x1=left, y1=top, x2=left + width, y2=top + height, label=names[each["category_id"]]
            )
            boxes[each["image_id"]].append(box)
    for image in sorted(content["images"], key=lambda each: str(each["file_name"])):
        name = image["file_name"]
        if name not in files:
            raise ValueError(f"{place.name} has no picture {name}")
        yield AnnotatedPicture(name, files[name], boxes[image["id"]], image.get("split", ""))
