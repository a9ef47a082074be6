"""Frames of the video with the boxes of a public detector, in the order of time."""

from collections.abc import Iterator

import numpy as np

from slipway.datasets import Dataset, fetch
from slipway.kits.tracking.clips import read_with_opencv
from slipway.media import Box, encode_jpeg

from .model import LABELS, Detections, Frame

WIDTH, HEIGHT = 768, 576


def splits(
    dataset: Dataset, *, every: int, tested_from: int
) -> dict[str, Iterator[tuple[Frame, Detections]]]:
    """Return every `every`-th frame; those from number `tested_from` on are the test.

    Successive frames are almost the same, so a random split would test on what was trained.
    """
    return {
        "train": frames(dataset, range(1, tested_from, every)),
        "test": frames(dataset, range(tested_from, 796, every)),
    }


def frames(dataset: Dataset, numbers: range) -> Iterator[tuple[Frame, Detections]]:
    """Yield the frames with these numbers (from 1), and the boxes that were detected there."""
    # The server accepts no video with this codec, Microsoft's MPEG-4 of 1999.
    file = dataset.path("vtest.avi")
    table = np.loadtxt(fetch("mot15_pets09_s2l1_det").path("det.txt"), delimiter=",")
    for number, picture in enumerate(read_with_opencv(file), start=1):
        if number in numbers:
            marked = detected(table[table[:, 0] == number])
            yield Frame(image=encode_jpeg(picture, quality=85)), Detections(boxes=marked)


def detected(rows: np.ndarray) -> list[Box]:
    """Return the boxes of rows in the form of MOTChallenge: frame, id, left, top, size, score."""
    boxes = []
    for x, y, width, height, score in rows[:, 2:7].tolist():
        x1, x2 = (min(max(each, 0), WIDTH) for each in (x, x + width))
        y1, y2 = (min(max(each, 0), HEIGHT) for each in (y, y + height))
        boxes.append(Box(x1=x1, y1=y1, x2=x2, y2=y2, label=LABELS[0], score=score))
    return boxes
