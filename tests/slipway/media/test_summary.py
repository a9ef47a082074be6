"""Summaries of records with media: facts, and the beginnings of what is long."""

import base64
import hashlib
import json
from typing import Annotated

import numpy as np
import pytest

from services.monitor.derived import picture_features
from slipway.contract import Record
from slipway.media import (
    Audio,
    Box,
    Image,
    Mask,
    State,
    Video,
    decode_image,
    encode_png,
    encode_wav,
)
from slipway.media.summary import TEXT_BYTES, summarize_record
from slipway.predictions.facts import is_facts
from tests.slipway.media.media_samples import picture_file, tone, video_file


class Inner(Record):
    thumb: Annotated[bytes, Image()]
    name: str = ""


class Scene(Record):
    image: Annotated[bytes, Image()]
    more: Annotated[list[bytes], Image()] = []  # noqa: RUF012
    sound: Annotated[bytes | None, Audio(sample_rate=8000)] = None
    clip: Annotated[bytes | None, Video()] = None
    state: Annotated[bytes | None, State()] = None
    inner: list[Inner] = []  # noqa: RUF012
    text: str = ""
    boxes: list[Box] = []  # noqa: RUF012
    mask: Mask | None = None
    numbers: list[float] = []  # noqa: RUF012


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_media_become_facts_and_the_rest_stays() -> None:
    png, wav, clip = picture_file("PNG"), encode_wav(tone(), 8000), video_file(frames=5)
    inner = Inner(thumb=picture_file("JPEG"), name="left")
    scene = Scene(
        image=png, more=[png], sound=wav, clip=clip, state=b"chat", inner=[inner], text="a"
    )
    kept = summarize_record(scene)
    image = kept["image"]
    assert image.items() >= {"sha256": hash_of(png), "bytes": len(png), "format": "PNG"}.items()
    assert image["media_type"] == "image/png"
    assert (image["width"], image["height"], image["pixels"]) == (32, 24, 768)
    assert kept["more"] == [image]
    assert kept["sound"]["seconds"] == 1.0
    # The root of the mean square of a sine of half the range.
    assert kept["sound"]["loudness"] == pytest.approx(0.5 / np.sqrt(2), abs=0.001)
    assert (kept["clip"]["frames"], kept["clip"]["seconds"]) == (5, pytest.approx(0.2))
    assert kept["state"].items() >= {"sha256": hash_of(b"chat"), "bytes": 4}.items()
    assert kept["inner"][0]["name"] == "left"
    assert kept["inner"][0]["thumb"]["media_type"] == "image/jpeg"
    assert (kept["text"], kept["boxes"], kept["mask"]) == ("a", [], None)
    # A picture of 2 kB that is stored nowhere in it.
    assert len(json.dumps(kept)) < 2500
    assert base64.b64encode(png)[:40].decode() not in json.dumps(kept)


def test_picture_numbers_are_those_that_the_monitor_derives_from_whole_pictures() -> None:
    smooth = np.linspace(0, 255, 640).astype(np.uint8)[None, :].repeat(480, axis=0)
    png = encode_png(smooth)
    kept = summarize_record(Inner(thumb=png))["thumb"]
    whole = picture_features(base64.b64encode(png).decode())
    for name, value in whole.items():
        assert kept[name] == pytest.approx(value, rel=0.01)


def test_bytes_that_are_no_picture_have_a_hash() -> None:
    broken = Inner.model_construct(thumb=b"no picture", name="")
    kept = summarize_record(broken)["thumb"]
    assert kept == {"sha256": hash_of(b"no picture"), "bytes": 10}


def test_long_texts_and_lists_keep_their_beginning_and_length() -> None:
    box = Box(x1=0, y1=0, x2=1, y2=1, label="cell", score=0.5)
    scene = Scene(image=picture_file("PNG"), text="ä" * 100_000, boxes=[box] * 523)
    kept = summarize_record(scene)
    assert kept["text"]["length"] == 100_000
    assert len(kept["text"]["text"].encode()) == TEXT_BYTES
    assert kept["boxes"]["count"] == 523
    assert kept["boxes"]["first"] == [box.model_dump()] * 200
    numbers = Scene(image=picture_file("PNG"), numbers=[0.123456789] * 9000)
    # Fewer than 10,000, but of over 64 KiB.
    kept = summarize_record(numbers)["numbers"]
    assert kept["count"] == 9000
    assert len(json.dumps(kept["first"])) < TEXT_BYTES * 1.3


def test_a_mask_stays_whole() -> None:
    mask = Mask.from_array(np.random.default_rng(1).random((60, 60)) > 0.5)
    kept = summarize_record(Scene(image=picture_file("PNG"), mask=mask))["mask"]
    assert Mask(**kept) == mask


def test_a_thumbnail_is_kept_on_request() -> None:
    large = encode_png(np.full((200, 400, 3), 90, dtype=np.uint8))
    assert "thumbnail" not in summarize_record(Inner(thumb=large))["thumb"]
    kept = summarize_record(Inner(thumb=large), thumbnails=True)["thumb"]
    small = decode_image(base64.b64decode(kept["thumbnail"]))
    assert small.shape == (32, 64, 3)
    assert abs(int(small.mean()) - 90) <= 2


def test_facts_are_recognized() -> None:
    kept = summarize_record(Scene(image=picture_file("PNG"), text="x" * 70_000))
    assert is_facts(kept["image"])
    assert is_facts(kept["text"])
    for value in (None, "x", [1], {}, {"x1": 1.0}, {"count": 1}, kept["boxes"]):
        assert not is_facts(value)
