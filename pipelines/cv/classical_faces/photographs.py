"""Real photographs with faces; their eyes and mouths were marked by hand."""

from collections.abc import Iterator

import cv2
import numpy as np

from slipway.datasets import fetch

from .scenes import Scene

# By file: left eye, right eye and mouth of each face, in pixels.
MARKS: dict[str, list[list[tuple[float, float]]]] = {
    "astronaut.png": [[(203, 100), (246, 103.5), (223, 145)]],
    "grace_hopper.jpg": [[(222.5, 190), (305, 187), (265, 277)]],
    # A football player and a man with a ball, both turned half away.
    "messi5.jpg": [[(238, 108), (252, 106), (243, 122.5)]],
    "basketball1.png": [[(86.5, 105), (98, 105), (93, 123)]],
    "carphone_pristine.mp4": [[(76.7, 60.3), (98.9, 55.7), (91.7, 81)]],
}


def photographs() -> Iterator[Scene]:
    """Yield the photographs, and the first frame of the video, in grey."""
    places = {
        "astronaut.png": fetch("skimage_samples"),
        "grace_hopper.jpg": fetch("hopper_portrait"),
        "messi5.jpg": fetch("opencv_samples"),
        "basketball1.png": fetch("opencv_further_samples"),
        "carphone_pristine.mp4": fetch("carphone_clip"),
    }
    for name, faces in MARKS.items():
        picture = first_frame(str(places[name].path(name)))
        yield Scene(picture, np.array(faces), [], name)


def first_frame(file: str) -> np.ndarray:
    """Return a picture, or the first one of a video, in grey."""
    if not file.endswith(".mp4"):
        return np.asarray(cv2.imread(file, cv2.IMREAD_GRAYSCALE))
    video = cv2.VideoCapture(file)
    try:
        return np.asarray(cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2GRAY))
    finally:
        video.release()
