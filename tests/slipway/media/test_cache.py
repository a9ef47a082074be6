"""Decoded media are kept by content, up to a number of bytes, for all threads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import pytest
from pydantic import TypeAdapter

from slipway.media import Audio, Image, decode_audio, decode_image, encode_wav, pictures
from slipway.media.cache import DecodeCache
from tests.slipway.media.media_samples import picture_file, tone


def array(value: int, size: int = 100) -> np.ndarray:
    return np.full(size, value, dtype=np.uint8)


def test_content_is_decoded_once() -> None:
    cache, decoded = DecodeCache(), []
    for data in (b"one", bytes(bytearray(b"one")), b"two", b"one"):
        found = cache.get(data, "picture", lambda data=data: decoded.append(data) or array(1))
        assert found.tolist() == array(1).tolist()
    assert decoded == [b"one", b"two"]
    cache.get(b"one", "sound", lambda: decoded.append(b"again") or array(2))
    assert decoded[-1] == b"again"


def test_the_least_recently_used_are_dropped_beyond_the_limit() -> None:
    cache = DecodeCache(max_bytes=350)
    for name in (b"a", b"b", b"c"):
        cache.get(name, None, lambda: array(1))
    cache.get(b"a", None, lambda: pytest.fail("a was dropped"))
    cache.get(b"d", None, lambda: array(4))
    assert cache.size <= 350
    cache.get(b"a", None, lambda: pytest.fail("a was used later than b"))
    assert cache.get(b"b", None, lambda: array(9))[0] == 9


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = DecodeCache(max_bytes=50)
    cache.get(b"a", None, lambda: array(1))
    assert cache.size == 0
    # The encoded bytes count, too: the cache holds them.
    cache.get(bytes(60), None, lambda: array(1, size=1))
    assert cache.size == 0


def test_a_failure_is_not_kept() -> None:
    def fail() -> np.ndarray:
        raise ValueError("is damaged")

    cache = DecodeCache()
    with pytest.raises(ValueError, match="damaged"):
        cache.get(b"a", None, fail)
    assert cache.get(b"a", None, lambda: array(7))[0] == 7


def test_threads_share_the_cache() -> None:
    cache = DecodeCache(max_bytes=2000)

    def look_up(number: int) -> bool:
        key = number % 37
        found = cache.get(b"%d" % key, None, lambda: array(key))
        return bool((found == key).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look_up, range(5000)))
    assert 0 < cache.size <= 2000


def test_a_checked_field_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, sound = picture_file("PNG", compress_level=1), encode_wav(tone(hertz=300), 8000)
    TypeAdapter(Annotated[bytes, Image()]).validate_python(picture)
    TypeAdapter(Annotated[bytes, Audio(sample_rate=16_000)]).validate_python(sound)
    monkeypatch.setattr(pictures, "_upright", lambda data: pytest.fail("decoded again"))
    monkeypatch.setattr("slipway.media.sound._decode", lambda *_: pytest.fail("decoded again"))
    assert decode_image(picture) is decode_image(picture)
    assert decode_image(picture, "L", size=28).shape == (28, 28)
    assert decode_audio(sound, 16_000).size == 16_000
