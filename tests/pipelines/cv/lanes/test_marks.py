"""Marks by hand, what is in which split, the simulated conditions, and the metrics."""

from itertools import product

import cv2
import numpy as np
import pytest

from pipelines.cv.lanes.conditions import CONDITIONS
from pipelines.cv.lanes.data import (
    CLIP,
    marking_errors,
    mean_positions,
    read_marks,
    read_member,
    read_places,
    without_lane,
)
from pipelines.cv.lanes.metrics import HEIGHTS, TOLERANCE, Comparison, Positions
from pipelines.cv.lanes.model import MarkedFrame, MarkedRoad
from slipway.datasets import fetch
from slipway.media import decode_frames, decode_image

from .roads import road

LEFT, RIGHT = [0.4, 0.38, 0.3, 0.2], [0.6, 0.63, 0.7, 0.8]
GAP = 25


def marked(source: str = "clip", place: str = "one", lanes: bool = True) -> MarkedRoad:
    frame = MarkedFrame(frame=0, left=[*LEFT], right=[*RIGHT])
    return MarkedRoad(
        place=place,
        source=source,
        condition="unchanged",
        width=640,
        height=360,
        frames=[frame] if lanes else [],
        baseline=frame,
        opencv=[],
    )


def lines(shift: float = 0.0) -> dict[int, Positions]:
    return {0: {"left": np.array(LEFT) + shift, "right": np.array(RIGHT)}}


def thumbnail(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (96, 54), interpolation=cv2.INTER_AREA).astype(float)


@pytest.fixture(scope="module")
def thumbnails() -> dict[str, tuple[str, list[np.ndarray]]]:
    """Return the split and all pictures of each window, and of each picture."""
    dataset = fetch("carnd_lanes")
    clip = [thumbnail(each) for each in decode_frames(read_member(dataset, CLIP))]
    return {
        place.place if place.file == CLIP else place.file: (
            place.split,
            clip[place.first : place.last + 1]
            if place.file == CLIP
            else [thumbnail(decode_image(read_member(dataset, place.file)))],
        )
        for place in read_places()
    }


def test_places_and_windows_of_two_splits_are_apart() -> None:
    places = read_places()
    train, test = ([each for each in places if each.split == split] for split in ("train", "test"))
    assert len(train) + len(test) == len(places)
    assert not {each.place for each in train} & {each.place for each in test}
    last = max(each.last for each in train)
    first = min(each.first for each in test if each.file == CLIP)
    assert first - last > GAP
    for each in places:
        assert all(each.first <= frame <= each.last for frame in each.frames)


def test_no_test_picture_is_nearly_a_training_picture(
    thumbnails: dict[str, tuple[str, list[np.ndarray]]],
) -> None:
    """Frames that follow each other differ by 2 levels in the mean, the nearest ones here by 8."""

    def nearest(one: str, other: str) -> float:
        pairs = product(thumbnails[one][1], thumbnails[other][1])
        return min(float(np.abs(first - second).mean()) for first, second in pairs)

    splits = {name: split for name, (split, _) in thumbnails.items()}
    for one, other in product(splits, splits):
        if (splits[one], splits[other]) == ("train", "test"):
            assert nearest(one, other) > 6, (one, other)
    # The near copies that the marks name are found in this way.
    assert nearest("test_images/solidWhiteCurve.jpg", "clip_8") < 2
    assert nearest("test_images/solidWhiteRight.jpg", "clip_1") < 3


def test_marks_are_in_order_and_inside_of_the_picture() -> None:
    assert read_marks()["heights"] == HEIGHTS.tolist()
    frames = [frame for each in read_places() for frame in each.marked()]
    assert len(frames) == 46
    for frame in frames:
        left, right = ([x for x in side if x is not None] for side in (frame.left, frame.right))
        assert min(len(left), len(right)) >= 3
        assert left == sorted(left, reverse=True)
        assert right == sorted(right)
        assert 0 < left[-1] < left[0] < right[0] < right[-1] < 1


def test_second_marks_agree_with_the_first() -> None:
    errors = np.array(marking_errors())
    assert len(errors) == 96
    assert np.median(errors) * 960 < 1
    assert errors.max() < TOLERANCE / 2


def test_the_baseline_is_the_mean_of_training_marks_alone() -> None:
    places = read_places()
    mean = mean_positions(places)
    train = [frame for each in places if each.split == "train" for frame in each.marked()]
    far = [x for each in train for x in each.left[:1] if x is not None]
    assert len(far) == len(train) == 20
    assert mean.left[0] == pytest.approx(np.mean(far))


def test_pictures_without_a_lane_are_divided() -> None:
    train, test = (set(without_lane(fetch("carnd_lanes"), each)) for each in ("train", "test"))
    assert (len(train), len(test)) == (17, 17)
    assert not train & test


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_are_the_same_in_every_run_and_keep_the_paint(name: str) -> None:
    picture = road()
    one, other = (list(CONDITIONS[name](iter([picture] * 2), 3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert one[0].shape == picture.shape
    assert np.array_equal(one[0], picture) == (name == "unchanged")
    # A wide part of the left line and the road beside it.
    brightness = one[0][320:350].mean(axis=2)
    assert brightness.max() - np.median(brightness) > 20


def test_shadows_come_nearer_and_leave_the_sky() -> None:
    first, second = list(CONDITIONS["shadows"](iter([road(noise=0)] * 2), 3))
    assert np.array_equal(first[:200], road(noise=0)[:200])
    assert not np.array_equal(first[220:], second[220:])


def test_right_lines_find_all_marks() -> None:
    metrics = Comparison.from_rows([marked()], [lines()]).metrics()
    assert (metrics["marks_found"], metrics["line_precision"]) == (1, 1)
    assert metrics["mean_pixels"] == pytest.approx(0)


def test_a_line_that_is_too_far_away_is_wrong() -> None:
    metrics = Comparison.from_rows([marked()], [lines(1.5 * TOLERANCE)]).metrics()
    assert (metrics["marks_found"], metrics["line_precision"]) == (0.5, 0.5)
    assert metrics["mean_pixels"] == pytest.approx(0.75 * TOLERANCE * 960)


def test_a_missing_line_finds_nothing_but_is_not_wrong() -> None:
    found: dict[int, Positions] = {0: {"left": np.array(LEFT)}}
    metrics = Comparison.from_rows([marked()], [found]).metrics()
    assert (metrics["marks_found"], metrics["line_precision"]) == (0.5, 1)


def test_lines_without_a_lane_are_wrong() -> None:
    labels = [marked(), marked("no_lane", lanes=False), marked("no_lane", lanes=False)]
    metrics = Comparison.from_rows(labels, [lines(), lines(), {}]).metrics()
    assert metrics["line_precision"] == 0.5
    assert metrics["false_lanes"] == 0.5
    assert metrics["marks_found"] == 1


def test_places_are_drawn_as_a_whole() -> None:
    labels = [marked(place="one"), marked(place="one"), marked(place="two")]
    found, places = Comparison.from_rows(labels, [lines(), lines(), {}]).by_place()
    assert places == 2
    assert found(np.array([0, 0])) == 1
    assert found(np.array([0, 1])) == pytest.approx(2 / 3)
