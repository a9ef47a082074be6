"""Pictures of blood with their boxes, without those that show a place of the test pictures."""

import numpy as np

from slipway.datasets import Dataset
from slipway.kits.detection.record import Detections
from slipway.kits.readers.coco import AnnotatedPicture, read_coco
from slipway.media import decode_image

from .fields import moved_correlation
from .model import LABELS, Smear

NAMES = dict(zip(("RBC", "WBC", "Platelets"), LABELS, strict=True))


def splits(dataset: Dataset, *, same: float) -> dict[str, list[tuple[Smear, Detections]]]:
    """Return the publisher's split, without overlaps: training pictures, then validation, and test.

    Some fields were photographed twice, moved by some cells, and the publisher's split was drawn
    at random. So pictures that show part of a test picture are left out, and validation pictures
    that show part of a training picture are moved to the training pictures.
    """
    parts = separated(published(dataset), same)
    return {
        "train": [labelled(each) for name in ("train", "val") for each in parts[name]],
        "test": [labelled(each) for each in parts["test"]],
    }


def published(dataset: Dataset) -> list[AnnotatedPicture]:
    """Return all pictures, in the order of their names."""
    return list(read_coco(dataset.path("bccd_coco_320x240.tar.xz")))


def separated(pictures: list[AnnotatedPicture], same: float) -> dict[str, list[AnnotatedPicture]]:
    """Return the pictures by split, so that no field is in two splits.

    Pictures with a correlation of `same` or more show the same cells. By eye, all pairs with 0.86
    do, and none with 0.81.
    """
    split = np.array([each.split for each in pictures])
    small = np.stack([thumbnail(each.content) for each in pictures])
    test, train = split == "test", split == "train"
    seen = (moved_correlation(small, small[test]) >= same).any(axis=1) & ~test
    train &= ~seen
    again = (moved_correlation(small, small[train]) >= same).any(axis=1) & (split == "val") & ~seen
    chosen = {"train": train | again, "val": (split == "val") & ~seen & ~again, "test": test}
    return {
        name: [pictures[place] for place in np.flatnonzero(rows)] for name, rows in chosen.items()
    }


def thumbnail(content: bytes) -> np.ndarray:
    """Return a picture in grey, (30, 40) float32, with mean 0."""
    grey = decode_image(content, "L").reshape(30, 8, 40, 8).mean(axis=(1, 3))
    return np.asarray(grey - grey.mean(), dtype=np.float32)


def labelled(picture: AnnotatedPicture) -> tuple[Smear, Detections]:
    """Return the record that a client would send, and the boxes that people marked."""
    boxes = [box.model_copy(update={"label": NAMES[box.label]}) for box in picture.boxes]
    return Smear(image=picture.content), Detections(boxes=boxes)
