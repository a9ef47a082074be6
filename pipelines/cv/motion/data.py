"""Windows of real clips with crossings counted by eye, in three kinds of light."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel

from slipway.datasets import Dataset, fetch
from slipway.kits.tracking.clips import encode_clip, read_with_opencv
from slipway.media import decode_frames

from .background import MotionRecipe
from .model import CountedCrossings, MotionView, follow_motion

BASELINE = MotionRecipe(method="differencing", threshold=12)
# The factor by which the light changes suddenly in the middle of a window.
LIGHTS = {"steady": 1.0, "darker": 0.55, "brighter": 1.45}
# Windows of a larger clip are made smaller: the method looks at 256 pixels a side.
WIDTH = 384


class Window(BaseModel):
    """Successive frames of a clip, a line across it, and the frames at which it is crossed."""

    name: str
    split: str
    clip: str
    first: int
    last: int
    line: float
    horizontal: bool
    forward: list[int]
    backward: list[int]


def read_windows() -> list[Window]:
    """Return the windows that were counted."""
    content = json.loads(Path(__file__).with_name("counts.json").read_text())
    return [Window(**each) for each in content["windows"]]


def splits(
    dataset: Dataset, *, frames: int
) -> dict[str, Iterator[tuple[MotionView, CountedCrossings]]]:
    """Return `train` and `test` windows, at most `frames` of each, each in every light."""
    return {
        split: rows(dataset, [each for each in read_windows() if each.split == split], frames)
        for split in ("train", "test")
    }


def rows(
    dataset: Dataset, windows: list[Window], frames: int
) -> Iterator[tuple[MotionView, CountedCrossings]]:
    """Yield a row for each window and light."""
    for window in windows:
        pictures = list(read_pictures(dataset, window))[:frames]
        for light in LIGHTS:
            view = MotionView(
                video=encode_clip(relit(pictures, light), rate=10, quality=24),
                line=window.line,
                horizontal=window.horizontal,
            )
            found = follow_motion(view, BASELINE)
            yield (
                view,
                CountedCrossings(
                    forward=len(window.forward),
                    backward=len(window.backward),
                    window=window.name,
                    light=light,
                    baseline_forward=found.forward,
                    baseline_backward=found.backward,
                ),
            )


def relit(pictures: list[np.ndarray], light: str) -> Iterator[np.ndarray]:
    """Yield the pictures; from the middle on, the light is another one."""
    for number, picture in enumerate(pictures):
        gain = LIGHTS[light] if number >= len(pictures) // 2 else 1.0
        yield np.clip(np.rint(picture * gain), 0, 255).astype(np.uint8)


def read_pictures(dataset: Dataset, window: Window) -> Iterator[np.ndarray]:
    """Yield the pictures (height, width, 3) of a window in RGB."""
    if window.clip == "vtest.avi":
        stream = read_with_opencv(dataset.path("vtest.avi"))
    else:
        stream = decode_frames(read_member(window.clip))
    for number, picture in enumerate(stream):
        if number > window.last:
            break
        if number >= window.first:
            height = 2 * round(picture.shape[0] * WIDTH / picture.shape[1] / 2)
            yield np.asarray(cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA))


def read_member(name: str) -> bytes:
    """Return a clip of Intel's."""
    with tarfile.open(fetch("intel_sample_clips").path("intel_sample_clips.tar")) as archive:
        member = archive.extractfile(name)
        assert member is not None  # a member of that name is a file
        return member.read()
