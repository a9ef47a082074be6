"""Decoding, resampling and encoding of sound, with PyAV and without it."""

import struct
import sys
from typing import Annotated

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from slipway.media import Audio, GroupMissing, decode_audio, encode_wav
from slipway.media.resampling import resample
from tests.slipway.media.media_samples import samples, sound_file, tone


def wav(content: bytes, format: int, bits: int, channels: int = 1, length: int = -1) -> bytes:
    """Return a WAV file of 8 kHz; `length` is what its header says of the content."""
    frame = channels * bits // 8
    header = struct.pack("<HHIIHH", format, channels, 8000, 8000 * frame, frame, bits)
    length = len(content) if length < 0 else length
    body = b"WAVEfmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", length)
    return b"RIFF" + struct.pack("<I", len(body) + len(content)) + body + content


def amplitude(samples: np.ndarray, sample_rate: int, hertz: float) -> tuple[float, float]:
    """Return the amplitude of a tone in the middle of the samples, and that of everything else."""
    middle = slice(len(samples) // 4, -len(samples) // 4)
    times = np.arange(len(samples))[middle] / sample_rate
    basis = np.stack([np.sin(2 * np.pi * hertz * times), np.cos(2 * np.pi * hertz * times)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, samples[middle], rcond=None)
    rest = samples[middle] - basis @ weights
    return float(np.hypot(*weights)), float(np.abs(rest).max())


def test_what_is_encoded_is_decoded_again() -> None:
    expected = tone()
    decoded = decode_audio(encode_wav(expected, 8000), 8000)
    assert decoded.dtype == np.float32
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() < 1e-4
    loud = np.array([-2.0, 0.0, 2.0], dtype=np.float32)
    assert decode_audio(encode_wav(loud, 8000), 8000) == pytest.approx([-1, 0, 1], abs=1e-4)


@pytest.mark.parametrize(
    "samples",
    [np.zeros((2, 3)), np.zeros(3, dtype=np.int16), np.array([np.nan])],
    ids=["channels", "integers", "nan"],
)
def test_only_one_channel_of_floats_is_encoded(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="samples are finite floats"):
        encode_wav(samples, 8000)


@pytest.mark.parametrize(
    ("format", "bits", "kind", "scale"),
    [(1, 8, "u1", 128), (1, 16, "<i2", 32768), (1, 32, "<i4", 2**31), (3, 32, "<f4", 1)],
)
def test_plain_samples_of_every_width_are_read(
    format: int, bits: int, kind: str, scale: float
) -> None:
    left, right = np.array([0.5, -0.5]), np.array([0.25, 0.0])
    values = np.stack([left, right], axis=1) * scale + (128 if bits == 8 else 0)
    data = wav(values.astype(kind).tobytes(), format, bits, channels=2)
    assert decode_audio(data, 8000) == pytest.approx((left + right) / 2, abs=1e-6)


def test_samples_of_24_bits_are_read() -> None:
    content = b"\x00\x00\x40" + b"\x00\x00\xc0"
    assert decode_audio(wav(content, 1, 24), 8000).tolist() == [0.5, -0.5]


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_written_to_a_pipe_does_not_know_its_length(length: int) -> None:
    content = np.array([16384] * 10, dtype="<i2").tobytes()
    assert decode_audio(wav(content, 1, 16, length=length), 8000).tolist() == [0.5] * 10
    with pytest.raises(ValueError, match="damaged or cut off"):
        decode_audio(wav(content, 1, 16, length=1000), 8000)


def test_numbers_that_are_not_finite_are_refused() -> None:
    content = np.array([0, np.nan, np.inf], dtype="<f4").tobytes()
    with pytest.raises(ValueError, match="damaged"):
        decode_audio(wav(content, 3, 32), 8000)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("wav", 1e-4),
        ("float wav", 1e-4),
        ("a-law wav", 0.02),
        ("mp3", 0.03),
        ("flac", 1e-4),
        ("ogg", 0.03),
        ("webm sound", 0.03),
        ("mp4 sound", 0.03),
    ],
)
def test_a_tone_stays_a_tone_in_every_format(name: str, error: float) -> None:
    _, data = samples()[name]
    strength, rest = amplitude(decode_audio(data, 16_000), 16_000, 440)
    assert strength == pytest.approx(0.5, abs=max(error, 1e-3))
    assert rest < error


@pytest.mark.parametrize(
    ("rate", "new_rate"),
    [(44_100, 16_000), (48_000, 16_000), (8000, 16_000), (16_000, 44_100), (44_101, 8000)],
)
def test_resampling_keeps_tones_and_removes_what_the_new_rate_cannot_hold(
    rate: int, new_rate: int
) -> None:
    low = 0.4 * min(rate, new_rate)
    resampled = resample(tone(rate, 1, low), rate, new_rate)
    assert resampled.shape == (new_rate,)
    strength, rest = amplitude(resampled, new_rate, low)
    assert strength == pytest.approx(0.5, abs=1e-4)
    assert rest < 1e-4
    if new_rate < rate:
        aliased = resample(tone(rate, 1, 0.6 * new_rate), rate, new_rate)
        assert np.abs(aliased[new_rate // 4 : -new_rate // 4]).max() < 1e-4
    quiet = resample(np.ones(rate, dtype=np.float32), rate, new_rate)
    assert quiet[new_rate // 4 : -new_rate // 4] == pytest.approx(1, abs=1e-5)


def test_resampling_of_nothing_and_of_one_sample() -> None:
    assert resample(np.zeros(0, dtype=np.float32), 8000, 16_000).size == 0
    assert resample(np.ones(1, dtype=np.float32), 16_000, 8000).size == 1


@pytest.mark.parametrize("name", ["wav", "flac", "webm sound"])
def test_longer_sound_is_refused(name: str) -> None:
    _, data = samples()[name]
    with pytest.raises(ValidationError, match="must be at most 0.5 seconds long"):
        TypeAdapter(Annotated[bytes, Audio(max_seconds=0.5)]).validate_python(data)
    with pytest.raises(ValueError, match="must be at most 0.5 seconds long"):
        decode_audio(data, 16_000, max_seconds=0.5)


def test_the_length_counts_and_not_what_the_header_says() -> None:
    """Browsers record WebM without a length; a header may also lie."""
    data = sound_file("webm", "libopus", seconds=3)
    # The element Duration becomes one that readers skip.
    unknown = data.replace(b"\x44\x89", b"\xec\x89", 1)
    assert "seconds" in Audio().describe(data)
    assert "seconds" not in Audio().describe(unknown)
    with pytest.raises(ValueError, match="must be at most 1 seconds long"):
        decode_audio(unknown, 16_000, max_seconds=1)
    assert decode_audio(data, 16_000, max_seconds=4).size > 2.9 * 16_000
    with pytest.raises(ValueError, match="must be at most 1 seconds long"):
        decode_audio(data, 16_000, max_seconds=1)


def test_plain_wav_needs_no_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, compressed = encode_wav(tone(), 8000), sound_file("flac", "flac")
    monkeypatch.setitem(sys.modules, "av", None)
    field = TypeAdapter(Annotated[bytes, Audio(sample_rate=16_000)])
    assert field.validate_python(plain) == plain
    with pytest.raises(ValidationError, match="lacks the serving group audio \\(av\\)"):
        field.validate_python(compressed)
    with pytest.raises(GroupMissing):
        decode_audio(compressed, 22_050)
