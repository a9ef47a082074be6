"""Pictures, sound and video made to fill the memory, to take hours or to break a decoder."""

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from slipway.media import Audio, Image, Media, Video, decode_image
from slipway.media.picture_header import MAX_SCANS
from tests.slipway.media.media_samples import (
    EVERY_FORMAT,
    picture_file,
    samples,
    sound_file,
    video_file,
)

# What reading a header may take; each file here would take gigabytes if it were decoded.
FEW_BYTES = 3_000_000


def refusal(marker: Media, data: bytes) -> str:
    """Return the message with which the field refuses the bytes."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[bytes, marker]).validate_python(data)
    message: str = caught.value.errors()[0]["msg"]
    assert " at 0x" not in message
    return message.removeprefix("Value error, ")


def memory_of(call: Callable[[], object]) -> int:
    """Return the largest memory in Python and numpy while the call ran."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def png_chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(width: int, height: int, rows: bytes, *chunks: bytes) -> bytes:
    """Return a PNG of grey values whose header may claim anything."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, data, png_chunk(b"IEND", b"")])


def webp(width: int, height: int) -> bytes:
    """Return a WebP file whose header claims this canvas."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def gif(width: int, height: int) -> bytes:
    """Return a GIF of 1 x 1 whose first frame is larger than its screen."""
    data = bytearray(picture_file("GIF", "L"))
    place = data.index(b",\0\0\0\0")
    data[6:10] = struct.pack("<HH", 1, 1)
    data[place + 5 : place + 9] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(60_000, 60_000, bytes(1_000_000)), "60000 x 60000"),
        (png(2**31 - 1, 1, bytes(1000)), "2147483647 x 1"),
        (webp(16_384, 16_384), "16384 x 16384"),
        (gif(6000, 6000), "6000 x 6000"),
        (
            b"BM" + struct.pack("<IIIIiiHH", 0, 0, 54, 40, 50_000, 50_000, 1, 24) + bytes(24),
            "50000",
        ),
    ],
    ids=["png", "long png", "webp", "gif", "bmp"],
)
def test_bombs_are_refused_by_their_header(data: bytes, size: str) -> None:
    marker = Image(formats=EVERY_FORMAT)
    assert f"must be at most 4096 pixels a side, got {size}" in refusal(marker, data)
    assert memory_of(lambda: refusal(marker, data)) < FEW_BYTES


@pytest.mark.parametrize("data", [png(60_000, 60_000, bytes(1000)), webp(16_384, 16_384)])
def test_no_picture_of_gigabytes_is_decoded_without_a_field_either(data: bytes) -> None:
    with pytest.raises(ValueError, match="must have at most 100,000,000 pixels"):
        decode_image(data)
    assert "must have at most 100,000,000 pixels" in refusal(Image(max_side=100_000), data)


def test_a_picture_may_be_as_large_as_the_field_says_and_no_larger() -> None:
    data = picture_file("PNG")
    assert Image(max_side=32).check(data) == data
    assert refusal(Image(max_side=31), data) == "must be at most 31 pixels a side, got 32 x 24"
    assert refusal(Image(min_side=25), data) == "must be at least 25 pixels a side, got 32 x 24"


def test_the_limit_of_the_process_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own limit of pixels raises an error that is not a ValueError, or warns."""
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    for format in ("PNG", "JPEG"):
        assert decode_image(picture_file(format)).shape == (24, 32, 3)


def test_texts_that_inflate_are_refused() -> None:
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    data = png(4, 4, bytes(20), text)
    assert len(data) < 200_000
    assert refusal(Image(), data) == "is damaged or cut off"
    assert memory_of(lambda: refusal(Image(), data)) < FEW_BYTES


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    """Each scan takes a pass over all pixels."""
    data = picture_file("JPEG", progressive=True)
    place = data.rindex(b"\xff\xda")
    repeated = data[:place] + data[place:-2] * (MAX_SCANS + 1) + data[-2:]
    assert refusal(Image(), repeated) == f"must have at most {MAX_SCANS} scans"


def test_the_content_decides_and_not_what_it_is_called() -> None:
    assert refusal(Image(formats=("PNG",)), picture_file("JPEG")) == "is not a PNG picture"
    for data in (b"<svg></svg>", b"%PDF-1.7", b"#EXTM3U\nfile:///etc/passwd", b"\0", b"RIFF"):
        assert refusal(Image(), data) == "is not a PNG, JPEG or WEBP picture"
        assert refusal(Video(), data) == "is not MP4, WEBM or AVI video"
        assert refusal(Audio(), data) == "is not WAV, MP3, FLAC, OGG, MP4 or WEBM sound"
    assert refusal(Audio(), video_file()) == "has no sound"
    assert refusal(Video(), sound_file("mp4", "aac")) == "has no video stream"


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6])
@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "bmp", "gif", "wav", "mp4 sound", "mp4"])
def test_what_is_cut_off_is_refused(name: str, kept: float) -> None:
    marker, data = samples()[name]
    cut = data[: int(len(data) * kept)]
    found = refusal(marker, cut)
    assert found.startswith(("is damaged or cut off", "is not ", "has no video stream"))


@pytest.mark.parametrize("box", [b"stsz", b"trun"])
@pytest.mark.parametrize("marker", [Video(), Audio()], ids=["video", "audio"])
def test_an_mp4_cannot_claim_more_samples_than_it_could_hold(marker: Media, box: bytes) -> None:
    """FFmpeg would take 2 GB for an index of 30 million equal frames in a file of 2 kB."""
    data = bytearray(video_file("mp4", "mpeg4"))
    place = data.index(b"stsz")
    data[place : place + 4] = box
    data[place + 4 : place + 16] = struct.pack(">III", 0, 1, 30_000_000)
    if box == b"trun":
        data[place + 8 : place + 12] = struct.pack(">I", 30_000_000)
    assert refusal(marker, bytes(data)) == "must have at most 1,000,000 samples"


def test_an_mp4_cannot_repeat_its_samples_without_limit() -> None:
    data = bytearray(video_file("mp4", "libx264"))
    place = data.index(b"elst")
    data[place + 8 : place + 12] = struct.pack(">I", 2_000_000)
    assert refusal(Video(), bytes(data)) == "must have at most 1,000,000 samples"


def test_a_compressed_header_is_not_read() -> None:
    data = video_file().replace(b"udta", b"cmov")
    assert refusal(Video(), data) == "has a codec that is not accepted"


def test_rare_codecs_are_not_decoded() -> None:
    assert refusal(Video(), video_file("avi", "ffv1")) == "has a codec that is not accepted"
    assert refusal(Audio(), sound_file("wav", "adpcm_ms")) == "has a codec that is not accepted"


def test_a_message_does_not_repeat_the_content() -> None:
    text = json.dumps("A" * 5_000_000)
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[bytes, Image()]).validate_json(text)
    assert len(str(caught.value)) < 500
