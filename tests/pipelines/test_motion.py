"""Motion: backgrounds against OpenCV's, changes of light, counts, state, and memory of a clip."""

import json
import tracemalloc

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cv.motion.background import Background, MotionRecipe, light_gain
from pipelines.cv.motion.counting import Counts, count_metrics
from pipelines.cv.motion.data import LIGHTS, read_windows, relit
from pipelines.cv.motion.model import CountedCrossings, MotionView, follow_motion
from slipway.kits.tracking.clips import encode_clip
from slipway.media import encode_png

GAUSSIAN = MotionRecipe(steadied=True)
STILL = cv2.GaussianBlur(
    np.random.default_rng(0).integers(60, 180, (120, 160, 3)).astype(np.uint8), (0, 0), 3
)


def walk(frames: int, step: int = 4, light: float = 1.0) -> list[np.ndarray]:
    """Return pictures of a dark block that walks to the right; the light changes in the middle."""
    pictures = []
    for frame in range(frames):
        picture = STILL.copy()
        left = 10 + step * (frame - 8)
        if frame >= 8:
            picture[40:90, max(left, 0) : left + 20] = 15
        gain = light if frame >= frames // 2 else 1.0
        pictures.append(np.clip(picture * gain, 0, 255).astype(np.uint8))
    return pictures


def view(pictures: list[np.ndarray], method: str = "auto") -> MotionView:
    return MotionView(video=encode_clip(pictures, quality=14), method=method)


def test_the_running_mean_equals_that_of_opencv() -> None:
    generator = np.random.default_rng(1)
    grays = [generator.uniform(50, 60, (30, 40)).astype(np.float32) for _ in range(60)]
    own = Background.starting_with(grays[0], MotionRecipe(method="mean"))
    other = grays[0].copy()
    for number, gray in enumerate(grays[1:], start=2):
        own.step(gray)
        cv2.accumulateWeighted(gray, other, max(1 / number, 0.02))
    # Own means are kept in 1/256 of a level, and rounding adds up over 60 frames.
    assert np.abs(own.mean - other).max() < 0.1


def test_differencing_equals_the_absolute_difference() -> None:
    recipe = MotionRecipe(method="differencing", threshold=12, opening=0, closing=0)
    generator = np.random.default_rng(2)
    first, second = (generator.integers(0, 256, (30, 40)).astype(np.uint8) for _ in range(2))
    moving = Background.starting_with(first.astype(np.float32), recipe).step(
        second.astype(np.float32)
    )
    assert np.array_equal(moving, cv2.absdiff(first, second) > 12)


def test_the_deviation_is_learned_from_still_pixels() -> None:
    generator = np.random.default_rng(3)
    background = Background.starting_with(np.full((40, 40), 100, np.float32), GAUSSIAN)
    for _ in range(200):
        background.step(generator.normal(100, 5, (40, 40)).astype(np.float32))
    assert background.deviation.mean() == pytest.approx(5, abs=0.7)


def test_the_gain_of_light_ignores_what_moves() -> None:
    mean = np.full((50, 50), 120, np.float32)
    gray = mean * 0.6
    gray[:20] = 240
    assert light_gain(gray, mean) == pytest.approx(0.6, abs=1e-3)
    assert light_gain(np.zeros((5, 5), np.float32), np.zeros((5, 5), np.float32)) == 1


@pytest.mark.parametrize("light", [1.0, 0.55, 1.4])
def test_a_crossing_counts_once_in_any_light(light: float) -> None:
    found = follow_motion(view(walk(44, light=light)), GAUSSIAN)
    assert (found.forward, found.backward) == (1, 0)
    back = follow_motion(view(walk(44, light=light)[::-1]), GAUSSIAN)
    assert back.backward >= back.forward


def test_without_steadying_a_change_of_light_moves_everything() -> None:
    pictures = walk(30, light=0.5)[:17]
    plain, steadied = (
        follow_motion(view(pictures), MotionRecipe(steadied=each)).moving_share
        for each in (False, True)
    )
    assert plain > 0.5
    assert steadied < 0.3


@pytest.mark.parametrize("method", ["differencing", "mean", "gaussian", "mog2"])
def test_every_method_finds_the_block(method: str) -> None:
    found = follow_motion(view(walk(36), method), GAUSSIAN)
    assert found.frames == 36
    last = [each.box for each in found.tracks if each.frame == 30]
    assert last
    assert min(abs((box.x1 + box.x2) / 2 - 108) for box in last) < 15
    assert (found.state is None) == (method == "mog2")


def test_pictures_with_the_state_give_the_same_as_the_video() -> None:
    pictures, state = walk(40), None
    for picture in pictures:
        found = follow_motion(MotionView(image=encode_png(picture), state=state), GAUSSIAN)
        state = found.state
    assert (found.forward, found.frames) == (1, 40)
    assert state is not None
    assert len(state) < 600_000
    again = follow_motion(MotionView(image=encode_png(pictures[-1][:60]), state=state), GAUSSIAN)
    assert again.frames == 1


def test_a_damaged_state_is_refused() -> None:
    first = follow_motion(MotionView(image=encode_png(STILL)), GAUSSIAN)
    assert first.state is not None
    content = json.loads(first.state)
    for change in ({"height": 7}, {"method": "mog2"}, {"frames": 0}, {"mean": "AAAA"}):
        with pytest.raises(ValidationError, match="state"):
            MotionView(image=encode_png(STILL), state=json.dumps({**content, **change}).encode())


def test_mog2_needs_a_video() -> None:
    with pytest.raises(ValidationError, match="mog2 needs a video"):
        MotionView(image=encode_png(STILL), method="mog2")


@pytest.mark.parametrize(
    "picture", [np.zeros((1, 1, 3), np.uint8), np.zeros((50, 200, 3), np.uint8), STILL]
)
def test_nothing_moves_in_a_first_picture(picture: np.ndarray) -> None:
    found = follow_motion(MotionView(image=encode_png(picture)), GAUSSIAN)
    assert (found.objects, found.moving_share) == (0, 0)


def test_windows_of_two_splits_are_apart() -> None:
    windows = read_windows()
    for train in (each for each in windows if each.split == "train"):
        for test in (each for each in windows if each.split == "test"):
            if train.clip == test.clip:
                assert test.first - train.last >= 10
    for each in windows:
        for frame in each.forward + each.backward:
            assert each.first < frame <= each.last


def test_the_light_changes_in_the_middle() -> None:
    means = [each.mean() for each in relit([np.full((4, 4, 3), 100, np.uint8)] * 4, "darker")]
    assert means == [100, 100, 55, 55]


def test_errors_add_both_directions() -> None:
    labels = [
        CountedCrossings(
            forward=2,
            backward=1,
            window=window,
            light=light,
            baseline_forward=0,
            baseline_backward=0,
        )
        for window in "ab"
        for light in LIGHTS
    ]
    found = np.array([[2, 1], [1, 1], [2, 3]] * 2)
    metrics = count_metrics(Counts.from_labels(labels, found), 0)
    assert metrics["count_error"] == pytest.approx(3 / 9)
    assert metrics["count_error_darker"] == pytest.approx(1 / 3)
    assert metrics["count_error_se"] == pytest.approx(0)


def test_the_memory_of_a_long_clip_does_not_grow() -> None:
    def peak(frames: int) -> int:
        sent = MotionView(video=encode_clip(STILL for _ in range(frames)))
        tracemalloc.start()
        follow_motion(sent, GAUSSIAN)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)
    # A frame is 58 kB, and nothing moves.
    assert peak(200) - peak(40) < 160 * 5_000
