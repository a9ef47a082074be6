"""Color tracking: thresholds against OpenCV's, scenes, state, odd input, and memory of a clip."""

import tracemalloc

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cv.color_tracking.data import clips
from pipelines.cv.color_tracking.model import ColorRange, ColorView, follow_colors
from pipelines.cv.color_tracking.scenes import HEIGHT, WIDTH, draw_scene, make_scene
from pipelines.cv.color_tracking.thresholds import (
    NAMED,
    ColorRecipe,
    HueRange,
    color_masks,
    in_range,
    normalize,
    range_around,
    rgb_of,
)
from pipelines.cv.color_tracking.train import opencv_masks
from slipway.kits.tracking.clips import encode_clip
from slipway.media import encode_png

RECIPE = ColorRecipe(radius=2, normalized=True)
PLAIN = ColorRecipe()


def painted(x: int, color: str = "red", y: int = 60) -> np.ndarray:
    picture = np.full((120, 160, 3), 90, dtype=np.uint8)
    picture[y : y + 30, x : x + 30] = rgb_of(color)
    return picture


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("radius", [0, 1, 3])
def test_masks_equal_those_of_opencv(normalized: bool, radius: int) -> None:
    recipe = ColorRecipe(radius=radius, normalized=normalized)
    picture = np.random.default_rng(radius).integers(0, 256, (61, 83, 3)).astype(np.uint8)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2), dtype=np.uint8)
    ranges = [range_around(each, recipe) for each in NAMED]
    for own, other in zip(
        color_masks(picture, ranges, recipe), opencv_masks(picture, ranges, recipe), strict=True
    ):
        assert np.array_equal(own, other)


def test_hues_are_found_across_zero() -> None:
    hsv = np.array([[[175, 200, 200], [3, 200, 200], [90, 200, 200]]], dtype=np.uint8)
    limits = HueRange("red", (170, 10), (100, 255), (100, 255))
    assert in_range(hsv, limits).tolist() == [[True, True, False]]


@pytest.mark.parametrize("color", NAMED)
def test_every_name_is_found_and_no_other(color: str) -> None:
    found = follow_colors(
        ColorView(image=encode_png(painted(40, color)), colors=list(NAMED)), PLAIN
    )
    assert {each.label: each.box.x1 for each in found.tracks} == {color: 40}


def test_normalization_undoes_dim_and_colored_light() -> None:
    picture = painted(40)
    dim = (picture * np.array([0.5, 0.4, 0.3])).astype(np.uint8)
    assert np.abs(normalize(dim).astype(int) - normalize(picture)).max() <= 6


def test_things_keep_their_numbers_through_state_as_in_a_video() -> None:
    pictures = [painted(10 + 3 * frame) for frame in range(12)]
    state = None
    for picture in pictures:
        found = follow_colors(ColorView(image=encode_png(picture), state=state), RECIPE)
        state = found.state
    whole = follow_colors(ColorView(video=encode_clip(pictures)), RECIPE)
    assert {each.id for each in whole.tracks} == {each.id for each in found.tracks} == {1}
    assert whole.frames == found.frames == 12
    assert whole.objects == {"red": 1, "yellow": 0, "green": 0, "blue": 0}
    assert len(found.tracks[0].trail) == 11


def test_two_of_one_color_keep_their_numbers_while_they_are_hidden() -> None:
    pictures = []
    for frame in range(30):
        picture = painted(5 + 4 * frame, y=10)
        picture[70:100, 120 - 3 * frame : 150 - 3 * frame] = rgb_of("red")
        if 10 <= frame < 18:
            picture[:] = 90
        pictures.append(picture)
    found = follow_colors(ColorView(video=encode_clip(pictures), colors=["red"]), RECIPE)
    last = {each.id: each.box.y1 for each in found.tracks if each.frame == 29}
    assert last == pytest.approx({1: 10, 2: 70}, abs=3)


def test_a_range_finds_what_has_no_hue() -> None:
    picture = painted(20)
    picture[20:50, 100:130] = 250
    white = ColorRange(label="white", max_saturation=0.2, min_value=0.9)
    found = follow_colors(ColorView(image=encode_png(picture), ranges=[white]), PLAIN)
    assert [(each.label, each.box.x1, each.box.y2) for each in found.tracks] == [("white", 100, 50)]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((50, 200, 3), np.uint8),
        np.full((1, 900, 3), (230, 25, 30), np.uint8),
        np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8),
    ],
)
def test_odd_pictures_get_an_answer_that_goes_on(picture: np.ndarray) -> None:
    image = encode_png(picture)
    first = follow_colors(ColorView(image=image, min_area=0), RECIPE)
    second = follow_colors(ColorView(image=image, min_area=0, state=first.state), RECIPE)
    assert second.frames == 2


def test_gray_is_refused_as_a_color() -> None:
    with pytest.raises(ValidationError, match="#808080 is too gray to have a hue"):
        ColorView(image=encode_png(painted(0)), colors=["#808080"])
    with pytest.raises(ValidationError, match="colors"):
        ColorView(image=encode_png(painted(0)), colors=["mauve"])


def test_known_boxes_are_around_the_visible_pixels() -> None:
    scene = make_scene(np.random.default_rng(2), "steady")
    for picture, tracks in draw_scene(scene, 20):
        assert picture.shape == (HEIGHT, WIDTH, 3)
        for each in tracks:
            box = each.box
            inside = picture[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
            limits = range_around(each.label, ColorRecipe(tolerance=30))
            assert in_range(cv2.cvtColor(inside, cv2.COLOR_RGB2HSV), limits).mean() > 0.2


def test_no_clip_is_in_two_splits() -> None:
    starts = [
        [(each.label, each.box.x1, each.box.y1) for each in label.tracks]
        for seed in (5, 6)
        for _, label in clips(5, seed, 3)
    ]
    assert all(one != other for place, one in enumerate(starts) for other in starts[:place])


def test_the_memory_of_a_long_clip_does_not_grow() -> None:
    def peak(frames: int) -> int:
        view = ColorView(video=encode_clip(painted(frame % 100) for frame in range(frames)))
        tracemalloc.start()
        follow_colors(view, RECIPE)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # What grows are the tracks of the response, about 10 kB a frame; frames would be 58 kB each.
    peak(5)
    assert peak(160) - peak(40) < 120 * 25_000
