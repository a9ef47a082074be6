"""The tracking kit: morphology and assignments against libraries, tracks, state, metrics."""

import json

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import label
from scipy.optimize import linear_sum_assignment

from slipway.kits.tracking.assignment import assign_pairs
from slipway.kits.tracking.camera import CameraRecord, shrunk
from slipway.kits.tracking.clips import encode_clip
from slipway.kits.tracking.metrics import TrackingTotals, count_tracks
from slipway.kits.tracking.regions import closed, dilate, erode, find_regions, opened
from slipway.kits.tracking.state import (
    RENEWED,
    TrackingState,
    remember_tracks,
    resume_tracks,
    tracks_in_view,
)
from slipway.kits.tracking.tracker import (
    MOST_OBJECTS,
    CountingLine,
    FollowedObject,
    ObjectTracker,
    TrackingRules,
)
from slipway.media import Box, State, Track, decode_frames, encode_png, encode_state

THING = np.array([[100.0, 100.0, 130.0, 160.0]])
NOTHING = np.empty((0, 4))


def moved(right: float, down: float = 0) -> np.ndarray:
    return np.asarray(THING + np.array([right, down, right, down]))


def track(frame: int, number: int, x: float) -> Track:
    return Track(id=number, frame=frame, box=Box(x1=x, y1=0, x2=x + 10, y2=10))


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
@pytest.mark.parametrize("shape", [(1, 1), (4, 40), (37, 53)])
def test_morphology_equals_that_of_opencv(radius: int, shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(radius).random(shape) < 0.4
    square, bits = np.ones((2 * radius + 1,) * 2, np.uint8), mask.astype(np.uint8)
    assert np.array_equal(erode(mask, radius), cv2.erode(bits, square) > 0)
    assert np.array_equal(dilate(mask, radius), cv2.dilate(bits, square) > 0)
    for own, operation in ((opened, cv2.MORPH_OPEN), (closed, cv2.MORPH_CLOSE)):
        assert np.array_equal(own(mask, radius), cv2.morphologyEx(bits, operation, square) > 0)


def test_regions_equal_those_of_scipy() -> None:
    mask = np.random.default_rng(1).random((40, 60)) < 0.25
    labels, count = label(mask, np.ones((3, 3)))
    sizes = sorted((int((labels == each).sum()) for each in range(1, count + 1)), reverse=True)
    found = find_regions(mask, 3)
    assert found.areas.tolist() == [each for each in sizes if each >= 3][: len(found.areas)]
    x1, y1, x2, y2 = found.boxes[0].astype(int).tolist()
    largest = labels == labels[y1:y2, x1:x2].ravel()[np.flatnonzero(mask[y1:y2, x1:x2])[0]]
    rows, columns = np.nonzero(largest)
    if largest.sum() == sizes[0]:
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x1, y1, x2, y2)


def test_assignments_cost_as_little_as_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    for _ in range(100):
        cost = generator.integers(-5, 5, generator.integers(0, 8, 2)) * generator.random()
        pairs = assign_pairs(cost)
        assert len(pairs) == len({column for _, column in pairs}) == min(cost.shape)
        best = cost[linear_sum_assignment(cost)].sum()
        assert sum(cost[pair] for pair in pairs) == pytest.approx(best)


def test_the_filter_equals_a_least_squares_line_at_first() -> None:
    centers = [(100.0, 50.0), (104.0, 49.0), (111.0, 53.0)]
    each = FollowedObject(1, "", *centers[0], 20, 20, trail=[*centers[0]])
    for x, y in centers[1:]:
        each.move()
        each.correct(np.array([x - 10, y - 10, x + 10, y + 10]))
    slope, start = np.polyfit(range(3), np.array(centers), 1)
    assert [each.x, each.y] == pytest.approx((start + 2 * slope).tolist())
    assert [each.x_speed, each.y_speed] == pytest.approx(slope.tolist())


def test_an_object_counts_after_three_frames_and_is_forgotten() -> None:
    tracker = ObjectTracker(400, 300, frames=50)
    assert [len(tracker.step(moved(3 * frame), ["a"])) for frame in range(3)] == [0, 0, 1]
    for _ in range(TrackingRules().max_missed):
        assert tracker.step(NOTHING, []) == []
        assert len(tracker.objects) == 1
    tracker.step(NOTHING, [])
    assert tracker.objects == []


def test_a_hidden_object_keeps_its_number_but_not_one_of_another_label() -> None:
    tracker = ObjectTracker(600, 300)
    for frame in range(8):
        tracker.step(moved(10 * frame), ["red"])
    for _ in range(6):
        tracker.step(NOTHING, [])
    assert [each.id for each in tracker.step(moved(140), ["red"])] == [1]
    tracker.step(moved(150), ["blue"])
    assert [each.id for each in tracker.objects] == [1, 2]


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize(("step", "counts"), [(5, (1, 0)), (-5, (0, 1))])
def test_crossings_count_once_in_their_direction(
    horizontal: bool, step: int, counts: tuple[int, int]
) -> None:
    tracker = ObjectTracker(800, 800)
    line = CountingLine((130 if horizontal else 115) + 12 * step, horizontal)
    for frame in range(25):
        shaken = step * frame + (3 if frame % 2 else -3)
        box = moved(0, shaken) if horizontal else moved(shaken)
        tracker.step(box, [""], line)
    assert (tracker.forward, tracker.backward) == counts


def test_jitter_on_the_line_is_no_crossing() -> None:
    tracker = ObjectTracker(800, 800)
    for frame in range(40):
        tracker.step(moved(3 * (frame % 2)), [""], CountingLine(116.5))
    assert (tracker.forward, tracker.backward) == (0, 0)


def test_the_state_is_small_and_goes_on_as_without_a_break() -> None:
    whole, parts = ObjectTracker(800, 300), ObjectTracker(800, 300)
    for frame in range(30):
        boxes = np.concatenate([moved(7 * frame), moved(240 - 5 * frame, 80)])
        line = CountingLine(250)
        one = whole.step(boxes, ["a", "b"], line)
        two = parts.step(boxes, ["a", "b"], line)
        assert [each.id for each in one] == [each.id for each in two]
        first, second = (tracks_in_view(each, (800, 300), frame) for each in (one, two))
        assert [t.box.x1 for t in first] == pytest.approx([t.box.x1 for t in second], abs=0.05)
        parts = resume_tracks(remember_tracks(parts), 800, 300, TrackingRules())
    assert (whole.forward, whole.backward) == (parts.forward, parts.backward) == (1, 1)


def test_more_objects_than_the_state_holds_are_left_out() -> None:
    tracker = ObjectTracker(800, 600)
    left = np.arange(100.0)[:, None] * 7
    boxes = np.concatenate([left, left, left + 5, left + 5], axis=1)
    for _ in range(40):
        tracker.step(boxes, ["a thing of this color"] * 100)
    assert len(tracker.objects) == MOST_OBJECTS
    assert len(encode_state(remember_tracks(tracker))) < State().max_bytes


def test_a_state_of_another_size_or_at_its_limit_starts_anew() -> None:
    tracker = ObjectTracker(400, 300)
    tracker.step(THING, [""])
    state, rules = remember_tracks(tracker), TrackingRules()
    assert resume_tracks(state, 400, 300, rules).objects
    assert not resume_tracks(state, 300, 400, rules).objects
    late = state.model_copy(update={"frames": RENEWED + 1})
    assert not resume_tracks(late, 400, 300, rules).objects


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", 1e9), ("width", 0), ("x_speed", 1e6), ("side", 2), ("trail", [1.0]), ("id", 7)],
)
def test_hostile_state_is_refused(name: str, value: object) -> None:
    tracker = ObjectTracker(400, 300)
    tracker.step(THING, [""])
    content = json.loads(encode_state(remember_tracks(tracker)))
    content["objects"][0][name] = value
    with pytest.raises(ValidationError):
        TrackingState.model_validate(content)


def test_extreme_state_that_is_accepted_does_no_harm() -> None:
    tracker = ObjectTracker(400, 300)
    tracker.step(THING, [""])
    content = json.loads(encode_state(remember_tracks(tracker)))
    content["objects"][0] |= {"x": -4e4, "x_speed": 1e4, "width": 2e4, "height": 2e4, "hits": 9999}
    state = TrackingState.model_validate(content)
    for _ in range(4):
        again = resume_tracks(state, 400, 300, TrackingRules())
        again.step(THING, [""], CountingLine(200))
        state = remember_tracks(again)


def test_metrics_of_two_who_change_their_numbers() -> None:
    truth = [track(frame, number, 100 * number) for frame in range(4) for number in (1, 2)]
    found = [
        track(frame, (number if frame < 3 else 3 - number) + 6, 100 * number)
        for frame in range(4)
        for number in (1, 2)
    ]
    metrics = count_tracks(truth, found).metrics()
    assert metrics == {"mota": 1 - 2 / 8, "idf1": 6 / 8, "iou": 1, "identity_switches": 2}


def test_metrics_count_misses_and_false_boxes_and_add_up() -> None:
    one = count_tracks([track(0, 1, 0), track(1, 1, 0)], [track(1, 5, 0), track(1, 6, 300)])
    assert one.metrics()["mota"] == 0
    assert (one + TrackingTotals()) == one
    assert (one + one).metrics()["idf1"] == one.metrics()["idf1"] == 2 / 4
    assert count_tracks([], [track(0, 1, 0)]).metrics()["idf1"] == 0


def test_a_track_is_kept_while_it_overlaps_although_another_fits_better() -> None:
    truth = [track(frame, 1, 0) for frame in range(2)]
    found = [track(0, 7, 0), track(1, 8, 0), track(1, 7, 3)]
    assert count_tracks(truth, found).switches == 0


def test_clips_are_the_same_bytes_and_read_frame_by_frame() -> None:
    pictures = [np.full((64, 96, 3), 10 * frame, np.uint8) for frame in range(9)]
    clip = encode_clip(pictures)
    noise = np.random.default_rng(0).integers(0, 9, (12, 120, 160, 3))
    moving = [
        np.roll(np.indices((120, 160)).sum(0)[..., None] + each, place, axis=1).astype(np.uint8)
        for place, each in enumerate(noise)
    ]
    # Other work in between leaves other values in memory.
    assert len({encode_clip(moving[:each]) and encode_clip(moving) for each in range(1, 6)}) == 1
    assert [frame.shape for frame in decode_frames(clip)] == [(64, 96, 3)] * 9
    numbers = [number for number, _ in CameraRecord(video=clip, every=4).pictures()]
    assert numbers == [0, 4, 8]
    with pytest.raises(ValueError, match="at least one picture"):
        encode_clip([])


def test_a_record_is_a_picture_or_a_video() -> None:
    image = encode_png(np.full((20, 30, 3), 51, np.uint8))
    assert CameraRecord(image=image).brightness() == pytest.approx(0.2)
    with pytest.raises(ValidationError, match="either image or video"):
        CameraRecord()


def test_large_pictures_are_shrunk_and_small_ones_kept() -> None:
    assert shrunk(np.zeros((100, 400, 3), np.uint8), 200).shape == (50, 200, 3)
    assert shrunk(np.zeros((1, 3000, 3), np.uint8), 200).shape == (1, 200, 3)
    assert shrunk(np.zeros((30, 40, 3), np.uint8), 200).shape == (30, 40, 3)
