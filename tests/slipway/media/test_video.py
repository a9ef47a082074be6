"""Video: checks without decoding, and decoding of one frame at a time."""

import gc
import struct
import sys
import tracemalloc
import weakref
from typing import Annotated

import av
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from slipway.media import GroupMissing, Video, decode_frames
from tests.slipway.media.media_samples import video_file

LONG = 2000


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Return half a second of 12 frames."""
    return video_file(frames=12, rate=24)


@pytest.fixture(scope="module")
def long_clip() -> bytes:
    return video_file(frames=LONG, size=(64, 64))


def message(marker: Video, data: bytes) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[bytes, marker]).validate_python(data)
    return str(caught.value.errors()[0]["msg"]).removeprefix("Value error, ")


def brightness(frame: np.ndarray) -> float:
    return float(frame[30:, 30:].mean())


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "libx264"),
        ("mp4", "mpeg4"),
        ("mov", "libx264"),
        ("webm", "libvpx"),
        ("webm", "libvpx-vp9"),
        ("matroska", "libx264"),
        ("avi", "mpeg4"),
    ],
)
def test_frames_come_in_order_and_in_color(container: str, codec: str) -> None:
    data = video_file(container, codec)
    frames = list(decode_frames(data))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 10
    assert all(frame.dtype == np.uint8 for frame in frames)
    assert [brightness(frame) for frame in frames] == pytest.approx(range(20, 30), abs=5)
    assert frames[5][4, 4] == pytest.approx([255, 0, 0], abs=40)


def test_every_nth_frame_is_taken(clip: bytes) -> None:
    frames = list(decode_frames(clip, every=5))
    assert [brightness(frame) for frame in frames] == pytest.approx([20, 25, 30], abs=3)


def test_what_the_container_says_is_described(clip: bytes) -> None:
    facts = Video().describe(clip)
    assert facts == {"format": "MP4", "width": 64, "height": 48, "seconds": 0.5, "frames": 12}


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        (Video(max_frames=11), "must have at most 11 frames"),
        (Video(max_seconds=0.4), "must be at most 0.4 seconds long, got 0.5"),
        (Video(max_pixels=3000), "must have at most 3,000 pixels a frame, got 64 x 48"),
        (Video(max_bytes=100), "must be at most 100 bytes, got"),
    ],
)
def test_each_limit_is_checked(clip: bytes, marker: Video, expected: str) -> None:
    assert message(marker, clip).startswith(expected)
    assert Video(max_frames=12, max_seconds=0.5, max_pixels=64 * 48).check(clip) == clip


def test_large_frames_are_not_decoded(clip: bytes) -> None:
    with pytest.raises(ValueError, match="at most 3,000 pixels"):
        next(decode_frames(clip, max_pixels=3000))


def test_the_limits_are_checked_without_decoding(
    long_clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message(Video(), long_clip).startswith("must be at most 60 seconds long, got 80")
    assert message(Video(max_seconds=100), long_clip) == "must have at most 1,800 frames"
    # One frame is decoded of a video that is accepted.
    decoded = []
    original = av.VideoFrame.to_ndarray
    monkeypatch.setattr(
        "slipway.media.frames._upright", lambda frame, size: decoded.append(1) or original(frame)
    )
    Video(max_seconds=100, max_frames=LONG).check(long_clip)
    assert len(decoded) == 1


def test_one_frame_is_in_memory_at_a_time(long_clip: bytes) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = count = 0
    tracemalloc.start()
    try:
        for frame in decode_frames(long_clip):
            alive = [each for each in alive if each() is not None]
            alive.append(weakref.ref(frame if frame.base is None else frame.base))
            most, count = max(most, len(alive)), count + 1
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == LONG
    assert most <= 2
    # All frames would take 25 MB.
    assert largest < 1_000_000


def test_the_decoder_holds_few_frames(long_clip: bytes) -> None:
    for number, _ in enumerate(decode_frames(long_clip)):
        if number % 400 == 0:
            # The decoded one, the same in colors, and the next ones of the decoder.
            frames = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
            assert frames <= 4


def test_a_closed_iterator_frees_the_decoder(long_clip: bytes) -> None:
    def open_files() -> int:
        gc.collect()
        return sum(isinstance(each, av.container.InputContainer) for each in gc.get_objects())

    before = open_files()
    frames = decode_frames(long_clip)
    next(frames)
    assert open_files() == before + 1
    frames.close()
    del frames
    assert open_files() == before


def test_damaged_frames_after_the_first_are_left_out() -> None:
    data = bytearray(video_file("avi", "mpeg4", frames=40))
    place = data.index(b"movi") + len(data) // 3
    data[place : place + 200] = bytes(200)
    frames = list(decode_frames(bytes(data)))
    assert 0 < len(frames) <= 40
    assert len({frame.shape for frame in frames}) == 1


def test_a_turned_video_is_upright(clip: bytes) -> None:
    """A phone stores frames as its sensor reads them, and how to turn them in `tkhd`."""
    data = bytearray(clip)
    place = data.index(b"tkhd") + 44
    one = 1 << 16
    # Turned clockwise by a quarter when shown.
    data[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, one << 14)
    frame = next(decode_frames(bytes(data)))
    assert frame.shape == (64, 48, 3)
    # The red corner moves from the upper left to the upper right.
    assert frame[4, -4] == pytest.approx([255, 0, 0], abs=40)


def test_without_pyav_the_message_names_the_serving_group(
    clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert "lacks the serving group vision (av)" in message(Video(), clip)
    with pytest.raises(GroupMissing):
        next(decode_frames(clip))
    assert message(Video(), b"text") == "is not MP4, WEBM or AVI video"


@pytest.mark.parametrize("which", [0, 1])
def test_a_frame_that_grows_is_not_decoded(which: int) -> None:
    """A key frame of VP8 has a size of its own, whatever the container says."""
    data = bytearray(video_file("webm", "libvpx", frames=20, key_frames=5))
    place = -1
    for _ in range(which + 1):
        place = data.index(b"\x9d\x01\x2a", place + 1)
    counts = []
    for side in (70, 16_000):
        data[place + 3 : place + 7] = struct.pack("<HH", side, side)
        frames = list(decode_frames(bytes(data)))
        assert len({frame.shape for frame in frames}) == 1
        counts.append(len(frames))
    # The frames up to the next key frame cannot be decoded without it.
    assert counts == [20, 15]
