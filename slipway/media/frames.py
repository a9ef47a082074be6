"""Decoding of video, one frame at a time."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway.media.containers import check_codec, container_of, import_av, opened
from slipway.media.refusals import DAMAGED, Refused, one_of

GROUP = "vision"
FORMATS = ("MP4", "WEBM", "AVI")
# 8K UHD is 33 million pixels.
MAX_PIXELS = 7680 * 4320
# Coded frames are larger than shown ones: sides are rounded up to blocks of 64 pixels or so.
MARGIN = 128


@dataclass(frozen=True)
class VideoHeader:
    """The container's description and its number of packets, read without decoding them."""

    format: str
    width: int
    height: int
    seconds: float
    frames: int


def read_video_header(data: bytes, max_frames: int = 1_000_000) -> VideoHeader:
    """Return size, length and number of frames; counting stops after `max_frames`.

    The packets are counted, because the numbers in a header may be missing or wrong.

    Raises:
        ValueError: it is not a video, or is damaged.
        GroupMissing: PyAV is not installed (also a ValueError).
    """
    found = _format_of(data)
    with opened(data, found, GROUP, MAX_PIXELS) as file:
        stream = _video_stream(file)
        frames, first, last = 0, None, 0.0
        for packet in file.demux(stream):
            if not packet.size:
                continue
            frames += 1
            if packet.pts is not None:
                start = float(packet.pts * packet.time_base)
                first = start if first is None else min(first, start)
                last = max(last, start + float((packet.duration or 0) * packet.time_base))
            if frames > max_frames:
                break
        width, height = stream.codec_context.width, stream.codec_context.height
        seconds = max(last - (first or 0.0), 0.0, float(file.duration or 0) / 1e6)
    return VideoHeader(found, width, height, seconds, frames)


def decode_frames(
    data: bytes, every: int = 1, max_pixels: int = MAX_PIXELS
) -> Generator[np.ndarray, None, None]:
    """Yield every `every`-th frame upright, uint8 (height, width, 3), one in memory at a time.

    All frames have the size of the first. Damaged frames after the first are left out, as players
    do. Close the iterator, or read it to its end, to free the decoder.

    Raises:
        ValueError: it is not a video, or no frame can be decoded.
        GroupMissing: PyAV is not installed (also a ValueError).
    """
    with opened(data, _format_of(data), GROUP, max(max_pixels, MAX_PIXELS)) as file:
        av, stream, size = import_av(GROUP), _video_stream(file), None
        _limit(stream.codec_context, max_pixels)
        number = 0
        for packet in file.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                size = size or (frame.width, frame.height)
                if number % every == 0:
                    yield _upright(frame, size)
                number += 1
        if not number:
            raise Refused(DAMAGED)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise Refused if a frame has more than `max_pixels`."""
    if width * height > max_pixels:
        got = f"{width} x {height}"
        raise Refused(f"must have at most {max_pixels:,} pixels a frame, got {got}")


def _format_of(data: bytes) -> str:
    found = container_of(data)
    if found not in FORMATS:
        raise Refused(f"is not {one_of(FORMATS)} video")
    return str(found)


def _video_stream(file: Any) -> Any:
    if not file.streams.video:
        raise Refused("has no video stream")
    check_codec(file.streams.video[0])
    return file.streams.video[0]


def _limit(context: Any, max_pixels: int) -> None:
    """Refuse large frames, also those that grow in the middle, and decode with one thread.

    Raises:
        Refused: the header has a larger size.
    """
    check_pixels(context.width, context.height, max_pixels)
    coded = (context.width + MARGIN) * (context.height + MARGIN)
    context.options = {"max_pixels": str(2 * coded)}
    context.thread_count = 1


def _upright(frame: Any, size: tuple[int, int]) -> np.ndarray:
    array = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    return np.ascontiguousarray(np.rot90(array, frame.rotation // 90))
