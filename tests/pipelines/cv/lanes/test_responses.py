"""Responses to pictures, videos and single frames, also odd ones."""

import tracemalloc

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cv.lanes.drawing import VideoWriter
from pipelines.cv.lanes.lines import LaneRecipe
from pipelines.cv.lanes.metrics import HEIGHTS, served_positions
from pipelines.cv.lanes.model import LaneFinder, MarkedFrame, MarkedRoad, RoadView, follow_lane
from slipway.kits.tracking.clips import encode_clip
from slipway.media import decode_frames, decode_image, encode_png

from .roads import HEIGHT, WIDTH, chessboard, road, x_at

RECIPE = LaneRecipe(mask="local", combine="squares", min_confidence=0.2)


def label_of(height: int, width: int) -> MarkedRoad:
    nothing = MarkedFrame(frame=0, left=[], right=[])
    return MarkedRoad(
        place="",
        source="",
        condition="",
        width=width,
        height=height,
        frames=[],
        baseline=nothing,
        opencv=[],
    )


@pytest.mark.parametrize("factor", [1, 2])
def test_lines_are_in_pixels_of_the_picture_that_was_sent(factor: int) -> None:
    picture = np.repeat(np.repeat(road(), factor, axis=0), factor, axis=1)
    found = follow_lane(RoadView(image=encode_png(picture)), RECIPE)
    positions = served_positions(found, label_of(*picture.shape[:2]))[0]
    for side in ("left", "right"):
        wanted = x_at(side, HEIGHTS * HEIGHT) / WIDTH
        assert np.abs(positions[side] - wanted).max() < 0.005
    assert max(point.y for each in found.lines for point in each.points) > 0.99 * HEIGHT * factor


def test_a_picture_gets_a_drawn_picture_and_a_position() -> None:
    found = follow_lane(RoadView(image=encode_png(road())), RECIPE)
    assert found.video is None
    drawn = decode_image(found.picture).astype(int)
    # The lane between the lines is greener than the road was.
    assert (drawn[300, 320] - road()[300, 320].astype(int))[1] > 10
    assert found.lane_width == pytest.approx((560 - 90) / WIDTH, abs=0.01)
    assert found.offset == pytest.approx((320 - 325) / 470, abs=0.01)
    assert found.message.startswith("Both lines found; the camera is 1% of the lane's width left")


def test_a_video_gets_a_drawn_video_of_the_same_length() -> None:
    pictures = [road(aside=6 * number) for number in range(5)]
    found = follow_lane(RoadView(video=encode_clip(pictures, quality=14, rate=10)), RECIPE)
    assert found.video is not None
    assert len(list(decode_frames(found.video))) == 5
    assert [each.frame for each in found.lines] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    near = [each.points[1].x for each in found.lines if each.label == "left"]
    assert np.diff(near) == pytest.approx(6, abs=2)
    skipped = follow_lane(RoadView(video=encode_clip(pictures, quality=14), every=2), RECIPE)
    assert {each.frame for each in skipped.lines} == {0, 2, 4}


def test_frames_with_the_state_give_the_same_as_the_video() -> None:
    video = encode_clip([road(aside=6 * number) for number in range(5)], quality=14)
    whole = follow_lane(RoadView(video=video, smoothing=0.6), RECIPE)
    state = None
    for picture in decode_frames(video):
        found = follow_lane(RoadView(image=encode_png(picture), state=state, smoothing=0.6), RECIPE)
        state = found.state
    last = [each.points[1].x for each in whole.lines if each.frame == 4]
    assert [each.points[1].x for each in found.lines] == pytest.approx(last, abs=0.1)
    assert found.frames == whole.frames == 5


def test_no_lane_is_found_where_there_is_none() -> None:
    found = follow_lane(RoadView(image=encode_png(chessboard())), RECIPE)
    assert found.lines == []
    assert found.message == "No lane found."
    assert (found.lane_width, found.offset) == (0, 0)


def test_a_request_may_choose_mask_and_confidence() -> None:
    dark = encode_png(road(light=0.35))
    assert len(follow_lane(RoadView(image=dark), RECIPE).lines) == 2
    assert len(follow_lane(RoadView(image=dark, mask="color"), RECIPE).lines) < 2
    dashed = encode_png(road(dashed=True))
    found = follow_lane(RoadView(image=dashed, min_confidence=0.8), RECIPE)
    assert [each.label for each in found.lines] == ["left"]
    assert found.message == "Only the left line was found."


def test_the_region_needs_rows() -> None:
    with pytest.raises(ValidationError, match="bottom"):
        RoadView(image=encode_png(road()), top=0.8, bottom=0.7)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (33, 47), (720, 1280)])
def test_pictures_of_any_size_get_a_response(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    found = follow_lane(RoadView(image=encode_png(picture)), RECIPE)
    assert decode_image(found.picture).ndim == 3
    assert 0 <= found.edge_share <= 1


def test_the_monitored_features_follow_the_picture() -> None:
    model = LaneFinder()
    model._recipe = RECIPE
    records = [RoadView(image=encode_png(each)) for each in (road(), road(light=0.35))]
    features = model.monitoring_features(records, model.predict(records))
    assert set(features) == {"brightness", "edge_share", "lane_width", "confidence"}
    assert features["brightness"][0] > 2 * features["brightness"][1]
    assert features["lane_width"] == pytest.approx([470 / WIDTH] * 2, abs=0.02)
    assert (features["confidence"] > 0.8).all()


def test_equal_pictures_give_an_equal_video_also_of_odd_sizes() -> None:
    def written(height: int, width: int) -> bytes:
        writer = VideoWriter(10)
        for number in range(4):
            writer.add(np.full((height, width, 3), 40 * number, np.uint8))
        return writer.close()

    assert written(90, 120) == written(90, 120)
    assert next(decode_frames(written(35, 47))).shape == (36, 48, 3)


def test_a_video_of_noise_stays_small() -> None:
    generator = np.random.default_rng(3)
    writer = VideoWriter(10)
    for _ in range(30):
        writer.add(generator.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))
    # Three seconds, and what the encoder's buffer lets through at the start; else it is twice that.
    assert len(writer.close()) < (3 * 2_500_000 + 5_000_000) / 8


def test_the_memory_of_a_long_video_does_not_grow() -> None:
    picture = road()[::2, ::2]

    def peak(frames: int) -> int:
        sent = RoadView(video=encode_clip(picture for _ in range(frames)))
        tracemalloc.start()
        follow_lane(sent, RECIPE)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(3)
    # A frame has 173 kB; its two lines take less than 4 kB.
    assert peak(60) - peak(20) < 40 * 8_000
