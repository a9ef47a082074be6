"""The people tracker: its filter, associations, metrics, memory, and videos."""

import json
from io import BytesIO

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError

from pipelines.cv.people_tracker import report
from pipelines.cv.people_tracker.crossings import VARIANTS, crossing, crossing_metrics, tracked
from pipelines.cv.people_tracker.kalman import Motion
from pipelines.cv.people_tracker.memory import RENEWED, Memory, remember, resume
from pipelines.cv.people_tracker.model import Detections, Frame, PeopleTracker
from pipelines.cv.people_tracker.mot_metrics import Identified, mot_metrics
from pipelines.cv.people_tracker.tracker import MOST_PEOPLE, Settings, Tracker
from slipway.media import Box, State, encode_jpeg, encode_state

WALKER = np.array([[100.0, 100.0, 130.0, 180.0]])
ONE = np.ones(1)


class PaintedPeople(PeopleTracker):
    """The model with a network that finds white rectangles of 32x64 pixels by their middle."""

    def run(self, feeds: dict[str, np.ndarray], graph: str = "model") -> dict[str, np.ndarray]:
        bright = feeds["images"].mean(axis=1, keepdims=True)
        cells = bright.reshape(len(bright), 1, 36, 8, 48, 8).mean(axis=(3, 5))
        sides = np.array([16.0, 32.0, 16.0, 32.0])[None, :, None, None]
        around = [np.roll(cells, step, axis=(2, 3)) for step in ((3, 0), (-3, 0), (0, 1), (0, -1))]
        return {
            "heat": np.minimum(cells, np.min(around, axis=0)),
            "sides": np.broadcast_to(sides, (len(bright), 4, 36, 48)),
        }


def painted(x: int) -> np.ndarray:
    picture = np.zeros((288, 384, 3), dtype=np.uint8)
    picture[100:164, x : x + 32] = 255
    return picture


def clip(pictures: list[np.ndarray]) -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 384, 288, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def shifted(pixels: float) -> np.ndarray:
    return np.asarray(WALKER + np.array([pixels, 0, pixels, 0]))


def seen(ids: list[int], boxes: list[np.ndarray]) -> Identified:
    return Identified(np.array(ids), np.array(boxes).reshape(-1, 4))


def test_the_filter_equals_the_textbook_formulas() -> None:
    motion = Motion.starting_at(WALKER)
    mean, covariance = motion.mean[0, 0].copy(), motion.covariance[0, 0].copy()
    motion.predict()
    motion.update(np.array([0]), shifted(5))
    step, see = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    mean = step @ mean
    covariance = step @ covariance @ step.T + np.diag([(80 / 20) ** 2, (80 / 160) ** 2])
    total = see @ covariance @ see.T + (80 / 20) ** 2
    gain = covariance @ see.T @ np.linalg.inv(total)
    assert_allclose(motion.mean[0, 0], mean + gain @ ([120.0] - see @ mean))
    assert_allclose(motion.covariance[0, 0], (np.eye(2) - gain @ see) @ covariance)


def test_the_filter_learns_a_velocity_and_goes_on_unseen() -> None:
    motion = Motion.starting_at(WALKER)
    for frame in range(1, 31):
        motion.predict()
        motion.update(np.array([0]), shifted(5 * frame))
    certain = motion.covariance[0, 0, 0, 0]
    for _ in range(4):
        motion.predict()
    assert_allclose(motion.boxes(), shifted(5 * 34), atol=1)
    assert motion.covariance[0, 0, 0, 0] > certain


def test_a_person_counts_after_three_frames_and_is_forgotten() -> None:
    tracker = Tracker(768, 576)
    tracker.frames = 50
    views = [tracker.step(shifted(3 * frame), ONE) for frame in range(3)]
    assert [len(each) for each in views] == [0, 0, 1]
    nothing = np.empty((0, 4)), np.empty(0)
    for _ in range(Settings().max_missed):
        assert tracker.step(*nothing) == []
        assert len(tracker.people) == 1
    tracker.step(*nothing)
    assert tracker.people == []


def test_who_stopped_while_hidden_keeps_the_number() -> None:
    tracker = Tracker(768, 576)
    for frame in range(10):
        tracker.step(shifted(8 * frame), ONE)
    for _ in range(5):
        tracker.step(np.empty((0, 4)), np.empty(0))
    alone = Tracker(768, 576, Settings(reidentified=False), tracker.people[:], tracker.motion)
    assert len(tracker.step(shifted(80), ONE)) == len(tracker.people) == 1
    assert len(alone.people) == 1
    alone.step(shifted(80), ONE)
    assert tracker.people[0].id == 1


@pytest.mark.parametrize(("step", "counts"), [(6, (0, 1)), (-6, (1, 0))])
def test_crossings_of_the_line_are_counted(step: int, counts: tuple[int, int]) -> None:
    tracker = Tracker(768, 576)
    for frame in range(20):
        tracker.step(shifted(step * frame), ONE, line=115 + 10 * step)
    assert (tracker.to_left, tracker.to_right) == counts


def test_more_people_than_the_memory_holds_are_left_out() -> None:
    tracker = Tracker(768, 576)
    left = np.arange(100.0)[:, None] * 7
    boxes = np.concatenate([left, left, left + 5, left + 5], axis=1)
    scores = np.linspace(1, 0.1, 100)
    tracker.step(boxes, scores)
    assert len(tracker.people) == MOST_PEOPLE
    assert min(each.score for each in tracker.people) == scores[MOST_PEOPLE - 1]
    for _ in range(20):
        tracker.step(boxes, scores)
    assert len(encode_state(remember(tracker))) < State().max_bytes


def test_metrics_of_two_who_change_their_numbers() -> None:
    near, far = WALKER[0], WALKER[0] + 300
    truth = {frame: seen([1, 2], [near, far]) for frame in range(4)}
    found = {frame: seen([7, 8] if frame < 3 else [8, 7], [near, far]) for frame in range(4)}
    assert mot_metrics(truth, found) == {
        "mota": 1 - 2 / 8,
        "idf1": 6 / 8,
        "identity_switches": 2,
    }


def test_metrics_count_misses_and_false_boxes() -> None:
    near, far = WALKER[0], WALKER[0] + 300
    truth = {0: seen([1], [near]), 1: seen([1], [near])}
    found = {1: seen([5, 6], [near + 1, far])}
    assert mot_metrics(truth, found) == {"mota": 0, "idf1": 2 / 4, "identity_switches": 0}


def test_a_track_is_kept_while_it_overlaps_although_another_fits_better() -> None:
    truth = {frame: seen([1], [WALKER[0]]) for frame in range(2)}
    off = shifted(5)[0]
    found = {0: seen([7], [WALKER[0]]), 1: seen([8, 7], [WALKER[0], off])}
    assert mot_metrics(truth, found)["identity_switches"] == 0


def test_every_part_of_the_tracker_keeps_more_identities() -> None:
    last_box, predicted, reidentified = (
        crossing_metrics(each)["idf1"] for each in VARIANTS.values()
    )
    assert last_box < predicted < reidentified


def test_a_tracker_with_memory_goes_on_as_one_without_a_break() -> None:
    part = crossing(np.random.default_rng(1)).seen
    whole = tracked(part, Settings())
    memory: Memory | None = None
    for frame, each in part.items():
        tracker = resume(memory, 768, 576)
        places = tracker.step(each.boxes, np.ones(len(each.boxes)))
        assert [tracker.people[place].id for place in places] == whole[frame].ids.tolist()
        assert_allclose(tracker.motion.boxes()[places], whole[frame].boxes, atol=0.1)
        memory = remember(tracker)


def test_a_memory_of_another_size_or_at_its_limit_starts_anew() -> None:
    tracker = Tracker(768, 576)
    tracker.step(WALKER, ONE)
    memory = remember(tracker)
    assert resume(memory, 768, 576).people
    assert not resume(memory, 640, 480).people
    assert not resume(memory.model_copy(update={"frames": RENEWED + 1}), 768, 576).people


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("velocity", [1e9, 0, 0, 0]),
        ("size", [0, 10]),
        ("covariance", [1e6, 0, 0, 0]),
        ("position_variance", [-1, 1, 1, 1]),
        ("trail", [1.0, 2.0, 3.0]),
        ("trail", [0.0] * 1000),
        ("id", 5),
    ],
)
def test_hostile_state_is_refused(name: str, value: object) -> None:
    tracker = Tracker(384, 288)
    tracker.step(WALKER, ONE)
    content = json.loads(encode_state(remember(tracker)))
    image = encode_jpeg(painted(100))
    assert Frame(image=image, state=json.dumps(content).encode()).state
    content["people"][0][name] = value
    with pytest.raises(ValidationError, match="state"):
        Frame(image=image, state=json.dumps(content).encode())


def test_frames_with_the_state_and_the_video_give_the_same_people() -> None:
    pictures = [painted(60 + 4 * frame) for frame in range(24)]
    model, state = PaintedPeople(), None
    for picture in pictures[::2]:
        (people,) = model.predict([Frame(image=encode_jpeg(picture), state=state, line=0.35)])
        state = people.state
    (whole,) = model.predict([Frame(video=clip(pictures), every=2, line=0.35)])
    assert whole.frames == people.frames == 12
    assert {each.id for each in whole.tracks} == {each.id for each in people.tracks} == {1}
    assert [each.frame for each in whole.tracks] == list(range(0, 24, 2))
    assert whole.to_right == people.to_right == 1
    last, same = whole.tracks[-1].box, people.tracks[-1].box
    assert_allclose([last.x1, last.y2], [same.x1, same.y2], atol=4)
    assert len(people.tracks[0].trail) == 11


def test_a_frame_is_a_picture_or_a_video() -> None:
    image, video = encode_jpeg(painted(50)), clip([painted(50)] * 3)
    with pytest.raises(ValidationError, match="either image or video"):
        Frame(image=image, video=video)
    with pytest.raises(ValidationError, match="either image or video"):
        Frame()


def test_the_baseline_sees_the_frames_that_are_tested() -> None:
    with pytest.raises(ValueError, match="not those of TESTED"):
        report.baseline([Detections(boxes=[])])


def test_the_interval_draws_blocks_of_frames() -> None:
    box = Box(x1=10, y1=10, x2=40, y2=90, label="person", score=0.9)
    marked, missed = Detections(boxes=[box]), Detections(boxes=[])
    labels = [marked] * (2 * report.BLOCK)
    # All boxes of one block are found and none of the other: a draw has both, or one of them twice.
    found = [marked] * report.BLOCK + [missed] * report.BLOCK
    low, high = report.frames_interval(labels, found)
    assert (low, high) == (0, 1)
    assert report.frames_interval(labels, labels) == (1, 1)
