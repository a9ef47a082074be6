"""Mutated files of every kind: a field accepts them or refuses them, and nothing else happens."""

import random
import warnings
import zlib
from contextlib import suppress
from typing import Annotated

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from slipway.media import Video, decode_frames, decode_image
from tests.slipway.media.media_samples import samples

SAMPLES = samples()
# A longer run, 1,500 of each kind, found nothing that these do not.
MUTATIONS = 60


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Return the file cut off, with bytes removed, inserted or replaced, mostly in its header."""
    content, kind = bytearray(data), draw.random()
    if kind < 0.1:
        return data[: draw.randrange(1, len(data))]
    place = draw.randrange(len(content))
    if kind < 0.2:
        del content[place : place + draw.randrange(1, 64)]
    elif kind < 0.3:
        content[place:place] = draw.randbytes(draw.randrange(1, 64))
    reach = min(len(content), 400) if draw.random() < 0.6 else len(content)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        place = draw.randrange(reach)
        flipped = content[place] ^ 1 << draw.randrange(8)
        content[place] = draw.choice((0, 127, 128, 255, draw.randrange(256), flipped))
    return bytes(content)


def with_checks(png: bytes) -> bytes:
    """Return a PNG with the right check sum after each chunk, so that its content is read."""
    content, place = bytearray(png), 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if end + 4 > len(content):
            break
        check = zlib.crc32(content[place + 4 : end])
        content[end : end + 4] = check.to_bytes(4, "big")
        place = end + 4
    return bytes(content)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_valid_file_is_accepted(name: str) -> None:
    marker, data = SAMPLES[name]
    assert marker.check(data) == data
    assert marker.describe(data).keys() & {"width", "sample_rate"}
    assert marker.media_type_of(data) in marker.media_types


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mutated_file_is_accepted_or_refused(name: str) -> None:
    marker, data = SAMPLES[name]
    field = TypeAdapter(Annotated[bytes, marker])
    # Seeded by the name, not by its hash, which differs between processes.
    draw = random.Random(name)
    accepted = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(MUTATIONS):
            mutated = mutate(data, draw)
            if "png" in name and number % 2:
                mutated = with_checks(mutated)
            with suppress(ValidationError):
                field.validate_python(mutated)
                accepted += 1
                use(name, mutated)
    assert accepted < MUTATIONS


def use(name: str, data: bytes) -> None:
    """Decode accepted content as a model would: it must not fail any more."""
    marker, _ = SAMPLES[name]
    if marker.kind == "image":
        for mode in ("RGB", "L"):
            assert decode_image(data, mode).size  # type: ignore[arg-type]
    if isinstance(marker, Video):
        shapes = {frame.shape for frame in decode_frames(data)}
        assert len(shapes) == 1
        assert all(isinstance(frame, np.ndarray) for frame in decode_frames(data, every=5))
