"""Who is in this picture or video, and where did each of them come from?

Data: vtest.avi of OpenCV, 795 frames of a fixed camera over a campus (PETS 2009, S2.L1), with the
boxes that a public detector of MOTChallenge 2015 found in them. They are not marked by hand.
Task: find people, and give each the same number in every frame. The detector is trained on frames
1-450, chosen on 451-600 and tested on 601-795, by boxes that overlap by half.
Model: a convolutional network finds boxes (ONNX). A Kalman filter predicts each person's next box,
and the assignment with the largest overlap decides who is who. The memory is in the caller's hands.
Limits: one camera and about ten people in summer light; elsewhere it must be trained again. Who is
hidden for longer than a second, or by another person, gets a new number or the other's. It sees
where people are, not who they are, and must not be used to identify or to judge anyone.
Evaluation: the ten frames until someone is forgotten were set after their identity score on
TUD-Stadtmitte had been seen (0.653, with twenty frames 0.613). Its gate had been set with that
figure known and was set anew from the use (0.5). A mirrored variant of the detector had been scored
on the test frames (mAP50 0.939); the one with the better validation score was kept.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import OnnxModel, Record, publish
from slipway.kits.detection.decode import decode_boxes
from slipway.kits.detection.record import Detections, Placement, frame_batch
from slipway.media import (
    Box,
    Image,
    Point,
    State,
    Track,
    Video,
    decode_frames,
    decode_image,
    decode_state,
    encode_state,
    letterbox,
)

from .memory import Memory, remember, resume
from .tracker import Tracker

LABELS = ("person",)
STRIDE = 8
# Frames that the network sees at once.
CHUNK = 8

__all__ = ["Detections", "Frame", "People"]


class Frame(Record):
    """A picture, or a video, of a place with people; and the state after the frames before."""

    size: ClassVar[tuple[int, int]] = (288, 384)
    mode: ClassVar[str] = "RGB"

    image: Annotated[bytes | None, Image(max_side=2048, min_side=16, capture=True)] = None
    video: Annotated[bytes | None, Video(max_seconds=60, max_frames=900)] = None
    state: Annotated[bytes | None, State(content=Memory)] = None
    min_score: float = Field(default=0.3, ge=0.05, le=1, description="The least score of a box")
    every: int = Field(
        default=3, ge=1, le=30, description="Of a video, every this many frames are looked at"
    )
    line: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Count who crosses a vertical line at this share of the width",
    )

    @classmethod
    def shape(cls) -> tuple[int, int, int]:
        """Return channels, height and width of the network's input."""
        return (3, *cls.size)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image is None) == (self.video is None):
            raise ValueError("send either image or video")
        return self


class People(Record):
    """The people in view, and the state to send with the next frame."""

    tracks: list[Track] = Field(description="One for each person in each frame")
    people: int = Field(ge=0, description="People in the last frame")
    frames: int = Field(ge=0, description="Frames since the state began")
    to_left: int = Field(ge=0, description="How often somebody crossed the line to the left")
    to_right: int = Field(ge=0, description="How often somebody crossed the line to the right")
    state: Annotated[bytes, State(content=Memory)]


def found_boxes(
    outputs: dict[str, np.ndarray], placements: Iterable[Placement], scores: Iterable[float]
) -> list[list[Box]]:
    """Return the boxes of each picture that reach its least score, given the network's outputs."""
    rows = zip(outputs["heat"], outputs["sides"], placements, scores, strict=True)
    return [
        decode_boxes(heat, sides, placed, LABELS, min_score=score)
        for heat, sides, placed, score in rows
    ]


def follow(frame: Frame, pictures: Iterable[tuple[tuple[int, int], list[Box]]]) -> People:
    """Return the people of successive pictures, given the size and the boxes of each."""
    memory = decode_state(frame.state, Memory) if frame.state else None
    tracker, tracks, last = None, [], []
    for number, ((height, width), boxes) in enumerate(pictures):
        tracker = tracker or resume(memory, width, height)
        # Rounded, so that the last digits of the processor's arithmetic do not change the state.
        corners = np.round([[each.x1, each.y1, each.x2, each.y2] for each in boxes], 2)
        line = None if frame.line is None else frame.line * width
        places = tracker.step(
            corners.reshape(-1, 4), np.round([each.score for each in boxes], 4), line
        )
        last = tracks_in_view(tracker, places, number * frame.every)
        tracks += last
    assert tracker is not None  # a video without a frame is refused
    return People(
        tracks=tracks,
        people=len(last),
        frames=tracker.frames,
        to_left=tracker.to_left,
        to_right=tracker.to_right,
        state=encode_state(remember(tracker)),
    )


def tracks_in_view(tracker: Tracker, places: list[int], frame: int) -> list[Track]:
    """Return the people in `places` with their boxes inside of the picture, and their trails."""
    limits = (tracker.width, tracker.height) * 2
    corners = np.round(tracker.motion.boxes().clip(0, limits), 2)
    tracks = []
    for place in places:
        person = tracker.people[place]
        x1, y1, x2, y2 = corners[place].tolist()
        box = Box(x1=x1, y1=y1, x2=x2, y2=y2, label=LABELS[0], score=round(person.score, 4))
        trail = [Point(x=round(x, 1), y=round(y, 1)) for x, y in person.trail[:-1]]
        tracks.append(Track(id=person.id, box=box, label=LABELS[0], frame=frame, trail=trail))
    return tracks


def decode(frames: list[Frame], outputs: dict[str, np.ndarray]) -> list[People]:
    """Return the predictions for pictures, given the network's outputs."""
    _, placements = frame_batch(frames)
    found = found_boxes(outputs, placements, [each.min_score for each in frames])
    return [
        follow(frame, [((placed.height, placed.width), boxes)])
        for frame, placed, boxes in zip(frames, placements, found, strict=True)
    ]


class PeopleTracker(OnnxModel):
    def predict(self, model_input: list[Frame]) -> list[People]:
        return [self._people(each) for each in model_input]

    def _people(self, frame: Frame) -> People:
        if frame.image is not None:
            feeds, _ = frame_batch([frame])
            return decode([frame], self.run(feeds))[0]
        assert frame.video is not None
        pictures = decode_frames(frame.video, every=frame.every)
        return follow(frame, self._boxes(pictures, frame.min_score))

    def _boxes(
        self, pictures: Iterable[np.ndarray], min_score: float
    ) -> Iterator[tuple[tuple[int, int], list[Box]]]:
        """Yield the size and the boxes of each picture; few are in memory at a time."""
        stream = iter(pictures)
        while chunk := list(islice(stream, CHUNK)):
            images, placements = [], []
            for picture in chunk:
                image, scale, (left, top) = letterbox(picture, Frame.size)
                height, width = picture.shape[:2]
                images.append(image.transpose(2, 0, 1))
                placements.append(Placement(scale, left, top, width, height, Frame.size))
            pixels = np.stack(images).astype(np.float32) / 255
            outputs = self.run({"images": pixels})
            found = found_boxes(outputs, placements, [min_score] * len(chunk))
            for placed, boxes in zip(placements, found, strict=True):
                yield (placed.height, placed.width), boxes

    def monitoring_features(
        self, records: list[Frame], predictions: list[People]
    ) -> dict[str, np.ndarray]:
        """Return people, their mean score, and the first picture's brightness, (rows,) each."""
        scores = [[track.box.score for track in each.tracks] for each in predictions]
        return {
            "people": np.array([each.people for each in predictions], dtype=np.float64),
            "mean_score": np.array([np.mean(each) if each else 0.0 for each in scores]),
            "brightness": np.array([first_picture(each).mean() / 255 for each in records]),
        }


def first_picture(frame: Frame) -> np.ndarray:
    """Return the picture, or the first one of the video."""
    if frame.image is not None:
        return decode_image(frame.image)
    assert frame.video is not None
    pictures = decode_frames(frame.video)
    first = next(pictures)
    pictures.close()
    return first


publish(PeopleTracker())
