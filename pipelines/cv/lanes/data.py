"""Windows of a clip in simulated conditions, pictures, and pictures without a lane, with marks."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from slipway.datasets import Dataset, fetch
from slipway.kits.tracking.camera import shrunk
from slipway.kits.tracking.clips import encode_clip
from slipway.media import decode_frames

from .conditions import CONDITIONS
from .edges import Region
from .lines import SIDES, Lines, end_rows
from .metrics import positions
from .model import SIDE, MarkedFrame, MarkedRoad, RoadView
from .reference import longest_segments

CLIP, RATE = "solidWhiteRight.mp4", 25
CHESSBOARDS = 20
# Photographs without a road before the camera.
PHOTOGRAPHS = (
    *("aloeL.jpg", "baboon.jpg", "building.jpg", "butterfly.jpg", "fruits.jpg", "graf1.png"),
    *("home.jpg", "messi5.jpg", "rubberwhale1.png", "smarties.png", "squirrel_cls.jpg"),
    *("starry_night.jpg", "stuff.jpg", "sudoku.png"),
)


class Place(BaseModel):
    """Marked frames of one place: a window of the clip, or a picture; in pixels of their width."""

    place: str
    split: str
    file: str = CLIP
    width: int
    first: int = 0
    last: int = 0
    frames: dict[int, dict[str, list[float | None]]]

    def marked(self) -> list[MarkedFrame]:
        """Return the marks as shares of the width, with frames counted from the first."""
        return [
            MarkedFrame(
                frame=number - self.first,
                **{
                    side: [x if x is None else x / self.width for x in lines[side]]
                    for side in SIDES
                },
            )
            for number, lines in self.frames.items()
        ]


def read_marks() -> dict[str, Any]:
    """Return the marks and how they were made."""
    content: dict[str, Any] = json.loads(Path(__file__).with_name("marks.json").read_text())
    return content


def read_places() -> list[Place]:
    """Return the windows and pictures that were marked."""
    content = read_marks()
    pictures = [Place(**each, frames={0: each["lines"]}) for each in content["pictures"]]
    return [Place(**each, width=960) for each in content["windows"]] + pictures


def marking_errors() -> list[float]:
    """Return the distances between first and second marks (n,), as shares of the width."""
    content = read_marks()
    first = {
        place.file if place.file != CLIP else str(number): (frame, place.width)
        for place in read_places()
        for number, frame in place.frames.items()
    }
    return [
        abs(one - other) / first[name][1]
        for name, again in content["again"].items()
        for side in SIDES
        for one, other in zip(first[name][0][side], again[side], strict=True)
        if one is not None and other is not None
    ]


def splits(
    dataset: Dataset, *, seed: int, frames: int
) -> dict[str, Iterator[tuple[RoadView, MarkedRoad]]]:
    """Return `train` and `test` rows; of each window at most `frames` are used."""
    return {split: rows(dataset, split, seed, frames) for split in ("train", "test")}


def rows(
    dataset: Dataset, split: str, seed: int, frames: int
) -> Iterator[tuple[RoadView, MarkedRoad]]:
    """Yield the rows of one split: pictures, pictures without a lane, and windows of the clip."""
    places = read_places()
    for place in places:
        if place.split == split and place.file != CLIP:
            view = RoadView(image=read_member(dataset, place.file))
            source = "harder" if place.file.startswith("advanced") else "picture"
            yield view, label(view, place, places, source)
    for content in without_lane(dataset, split):
        view = RoadView(image=content)
        yield view, label(view, None, places, "no_lane")
    clip = [place for place in places if place.split == split and place.file == CLIP]
    for number, place in enumerate(clip):
        pictures = list(read_window(dataset, place))[:frames]
        for name, change in CONDITIONS.items():
            changed = change(iter(pictures), seed + number)
            view = RoadView(video=encode_clip(changed, rate=RATE, quality=20))
            yield view, label(view, place, places, "clip", name, len(pictures))


def label(
    view: RoadView,
    place: Place | None,
    places: list[Place],
    source: str,
    condition: str = "unchanged",
    frames: int = 1,
) -> MarkedRoad:
    """Return the marks of a row, with what the baseline and OpenCV say."""
    marked = [each for each in place.marked() if each.frame < frames] if place else []
    numbers = {each.frame for each in marked} or {0}
    pictures = {number: each for number, each in view.pictures() if number in numbers}
    height, width = next(iter(pictures.values())).shape[:2]
    return MarkedRoad(
        place=place.place if place else "no_lane",
        source=source,
        condition=condition,
        width=width,
        height=height,
        frames=marked,
        baseline=mean_positions([each for each in places if not place or differs(each, place)]),
        opencv=[reference_frame(shrunk(each, SIDE), number) for number, each in pictures.items()],
    )


def differs(other: Place, place: Place) -> bool:
    """Return whether a place is another one, so that its marks are not those to be found."""
    return other.place != place.place


def mean_positions(places: list[Place]) -> MarkedFrame:
    """Return the mean marks of the training frames among these places: the baseline."""
    frames = [frame for each in places if each.split == "train" for frame in each.marked()]
    means = {
        side: np.mean([getattr(each, side) for each in frames], axis=0).tolist() for side in SIDES
    }
    return MarkedFrame(frame=0, **means)


def reference_frame(picture: np.ndarray, number: int) -> MarkedFrame:
    """Return what OpenCV's longest segments say, at the marked heights."""
    region = Region()
    lines: Lines = longest_segments(picture, region)
    found = positions(lines, end_rows(picture.shape[0], region), picture.shape)
    return MarkedFrame(
        frame=number, **{side: found[side].tolist() if side in found else [] for side in SIDES}
    )


def read_window(dataset: Dataset, place: Place) -> Iterator[np.ndarray]:
    """Yield the pictures of a window in RGB, as large as the method looks at."""
    for number, picture in enumerate(decode_frames(read_member(dataset, place.file))):
        if number > place.last:
            break
        if number >= place.first:
            yield shrunk(picture, SIDE)


def without_lane(dataset: Dataset, split: str) -> Iterator[bytes]:
    """Yield chessboards and photographs without a road, every other one for each split."""
    offset = ("train", "test").index(split)
    for number in range(1 + offset, CHESSBOARDS + 1, 2):
        yield read_member(dataset, f"chessboard_9x6/calibration{number}.jpg")
    for name in PHOTOGRAPHS[offset::2]:
        yield fetch("opencv_samples").path(name).read_bytes()


def read_member(dataset: Dataset, name: str) -> bytes:
    """Return a file of the archive."""
    with tarfile.open(dataset.path("carnd_lane_clip_and_images.tar")) as archive:
        member = archive.extractfile(name)
        assert member is not None  # a member of that name is a file
        return member.read()
