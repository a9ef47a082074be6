"""Boxes, masks and tracks as records, and non-maximum suppression."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from slipway.media import Box, Mask, Point, Track, box_overlaps, nms

BOXES = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 10, 10]])


def test_overlap_is_intersection_over_union() -> None:
    overlaps = box_overlaps(BOXES, BOXES)
    assert overlaps.diagonal().tolist() == [1, 1, 1, 1]
    assert overlaps[0, 1] == pytest.approx(81 / 119)
    assert overlaps[0, 2] == 0
    assert np.array_equal(overlaps, overlaps.T)
    assert box_overlaps(np.zeros((1, 4)), BOXES).tolist() == [[0, 0, 0, 0]]
    assert box_overlaps(np.zeros((0, 4)), BOXES).shape == (0, 4)


def test_boxes_under_a_better_one_are_dropped() -> None:
    scores = np.array([0.5, 0.9, 0.3, 0.5])
    assert nms(BOXES, scores).tolist() == [1, 2]
    assert nms(BOXES, scores, iou=0.7).tolist() == [1, 0, 2]
    assert nms(BOXES, scores, classes=np.array([0, 0, 0, 1])).tolist() == [1, 3, 2]
    assert nms(np.zeros((0, 4)), np.zeros(0)).tolist() == []


def test_suppression_agrees_with_a_plain_loop() -> None:
    random = np.random.default_rng(3)
    corners = random.uniform(0, 80, (200, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (200, 2))], axis=1)
    scores = random.uniform(0, 1, 200)
    expected: list[int] = []
    for index in np.argsort(-scores):
        if all(box_overlaps(boxes[[index]], boxes[[kept]])[0, 0] <= 0.4 for kept in expected):
            expected.append(int(index))
    assert nms(boxes, scores, iou=0.4).tolist() == expected
    assert 10 < len(expected) < 200


def test_a_box_has_its_corners_in_order() -> None:
    box = Box(x1=1, y1=2, x2=3, y2=4, label="cell", score=0.5)
    assert Box.model_validate_json(box.model_dump_json()) == box
    # As a prompt, a box has neither label nor score.
    assert Box(x1=1, y1=2, x2=1, y2=2).score == 1
    for wrong in ({"x1": 4}, {"y1": 5}, {"score": 1.5}, {"x2": float("nan")}):
        with pytest.raises(ValidationError):
            Box.model_validate({**box.model_dump(), **wrong})


def test_boxes_are_built_from_columns() -> None:
    columns = dict(zip(("x1", "y1", "x2", "y2"), BOXES.T, strict=True))
    boxes = Box.from_columns(**columns, score=np.array([0.5, 0.9, 0.3, 0.5]))
    assert boxes[1] == Box(x1=1, y1=1, x2=11, y2=11, score=0.9)


def test_a_track_has_its_place_in_a_frame_and_its_trail() -> None:
    track = Track(id=3, frame=7, box=Box(x1=0, y1=0, x2=2, y2=2), trail=[Point(x=1, y=0)])
    assert Track.model_validate_json(track.model_dump_json()) == track


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 48)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mask_is_the_same_after_run_lengths(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(5).random(shape) < share
    record = Mask.from_array(mask, label="nucleus", score=0.7)
    assert np.array_equal(record.array(), mask)
    assert record.array().dtype == np.bool_
    assert Mask.model_validate_json(record.model_dump_json()) == record


def test_runs_go_by_rows_and_begin_outside() -> None:
    assert Mask.from_array(np.array([[0, 1], [1, 0]])).counts == [1, 2, 1]
    assert Mask.from_array(np.array([[1, 1], [1, 0]])).counts == [0, 3, 1]


@pytest.mark.parametrize(
    "values",
    [
        {"height": 2, "width": 2, "counts": [1, 2]},
        {"height": 2, "width": 2, "counts": [5, -1]},
        {"height": 2, "width": 2, "counts": []},
        {"height": 0, "width": 2, "counts": []},
        {"height": 100_000, "width": 100_000, "counts": [10_000_000_000]},
    ],
)
def test_run_lengths_that_do_not_cover_the_picture_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mask.model_validate_json(json.dumps(values))


def test_a_mask_is_made_of_two_dimensions() -> None:
    with pytest.raises(ValueError, match=r"a mask is \(height, width\)"):
        Mask.from_array(np.zeros((2, 2, 3)))
