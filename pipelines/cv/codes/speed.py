"""Measure the milliseconds that each reader takes for a picture, and write them to speed.json.

Run it with `python -m pipelines.cv.codes.speed`. It is not a stage, because times differ between
runs. A picture of the report shows them.
"""

import json
import time
from pathlib import Path

import cv2
import numpy as np

from slipway.media import decode_image
from slipway.project import find
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace

from .readers import READERS, Reader

FILE = Path(__file__).with_name("speed.json")
ROWS = 100
# A camera's frame, whatever it shows: 640 x 480.
FRAME = (640, 480)


def main() -> None:
    rows = read_split(Workspace.for_project(find("codes")), "train").head(ROWS)
    pictures = [decode_image(each.image, "L") for each in rows.records]
    frames = [cv2.resize(each, FRAME) for each in pictures[:20]]
    cv2.setNumThreads(1)
    spent = {}
    for name, read in READERS.items():
        spent[name] = {"picture": mean_time(read, pictures), "frame": mean_time(read, frames)}
        print(name, spent[name], flush=True)
    FILE.write_text(json.dumps(spent, indent=1) + "\n")


def mean_time(read: Reader, pictures: list[np.ndarray]) -> float:
    """Return the mean milliseconds of one thread for a picture."""
    start = time.perf_counter()
    for each in pictures:
        read(each)
    return round((time.perf_counter() - start) / len(pictures) * 1000, 1)


if __name__ == "__main__":
    main()
