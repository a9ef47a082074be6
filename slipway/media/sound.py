"""Decoding of sound to samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.media.cache import decoded
from slipway.media.containers import check_codec, container_of, import_av, opened
from slipway.media.refusals import DAMAGED, Refused, one_of
from slipway.media.resampling import resample
from slipway.media.wav import WavFile, read_wav

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

GROUP = "audio"
FORMATS = ("WAV", "MP3", "FLAC", "OGG", "MP4", "WEBM")
RATES = range(1_000, 384_001)
# Ten minutes at 48 kHz are 115 MB of samples.
MAX_SECONDS = 600
# Pictures beside the sound, such as covers, are not decoded.
NO_PIXELS = 1
# Players skip damaged packets, too. Beyond one in ten the sound is not what was recorded.
TOLERATED = 0.1


@dataclass(frozen=True)
class SoundHeader:
    """The facts in the header of a sound file; recorders in browsers do not write the seconds."""

    format: str
    sample_rate: int
    channels: int
    seconds: float | None


def decode_audio(data: bytes, sample_rate: int, max_seconds: float = MAX_SECONDS) -> np.ndarray:
    """Return the sound as one channel, float32 (samples,) from -1 to 1, at `sample_rate`.

    The array may be shared with other callers and is read-only. A field that an `Audio` marker of
    this `sample_rate` has checked was decoded then, so this costs little. Plain WAV is read
    without PyAV.

    Raises:
        ValueError: it is not sound, is damaged, or is longer than `max_seconds`.
        GroupMissing: PyAV is not installed (also a ValueError).
    """
    samples = decoded.get(
        data, ("sound", sample_rate), lambda: _decode(data, sample_rate, max_seconds)
    )
    if samples.size > max_seconds * sample_rate + 1:
        raise Refused(_too_long(max_seconds))
    return samples


def read_sound_header(data: bytes) -> SoundHeader:
    """Return what the header says.

    Raises:
        ValueError: it is not sound, or its header is damaged.
        GroupMissing: PyAV is not installed (also a ValueError).
    """
    found = _format_of(data)
    if (wav := _plain_wav(data)) is not None:
        header = SoundHeader(found, wav.sample_rate, wav.channels, wav.frames / wav.sample_rate)
    else:
        with opened(data, found, GROUP, NO_PIXELS) as file:
            context = _sound_stream(file).codec_context
            seconds = file.duration / 1e6 if file.duration else None
            header = SoundHeader(found, context.sample_rate, context.channels, seconds)
    if header.sample_rate not in RATES:
        raise Refused(DAMAGED)
    return header


def _decode(data: bytes, sample_rate: int, max_seconds: float) -> np.ndarray:
    found = _format_of(data)
    if (wav := _plain_wav(data)) is not None:
        if wav.frames > max_seconds * wav.sample_rate:
            raise Refused(_too_long(max_seconds))
        rate, samples = wav.sample_rate, wav.mono()
    else:
        rate, samples = _decode_with_av(data, found, max_seconds)
    if not samples.size or not np.isfinite(samples).all():
        raise Refused(DAMAGED)
    return resample(samples, rate, sample_rate)


def _format_of(data: bytes) -> str:
    found = container_of(data)
    if found not in FORMATS:
        raise Refused(f"is not {one_of(FORMATS)} sound")
    return str(found)


def _plain_wav(data: bytes) -> WavFile | None:
    """Return the WAV file if it can be read without PyAV."""
    if container_of(data) != "WAV":
        return None
    wav = read_wav(data)
    if wav.sample_rate not in RATES:
        raise Refused(DAMAGED)
    return wav if wav.plain else None


def _decode_with_av(data: bytes, container: str, max_seconds: float) -> tuple[int, np.ndarray]:
    """Return sample rate and samples."""
    pieces: list[np.ndarray] = []
    rate = total = 0
    with opened(data, container, GROUP, NO_PIXELS) as file:
        for frame in _frames(file):
            rate = rate or frame.sample_rate
            # Also refuses a rate that changes in the middle.
            if frame.sample_rate != rate or rate not in RATES:
                raise Refused(DAMAGED)
            pieces.append(frame.to_ndarray().mean(axis=0, dtype=np.float32))
            total += pieces[-1].size
            if total > max_seconds * rate:
                raise Refused(_too_long(max_seconds))
    if not pieces:
        raise Refused(DAMAGED)
    return rate, np.concatenate(pieces)


def _frames(file: Any) -> Iterator["AudioFrame"]:
    """Yield frames of floats (channels, samples), without damaged packets."""
    av = import_av(GROUP)
    stream = _sound_stream(file)
    resampler = av.AudioResampler(format="fltp")
    packets = damaged = 0
    for packet in file.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            yield from resampler.resample(frame)
    if damaged > TOLERATED * packets:
        raise Refused(DAMAGED)


def _sound_stream(file: Any) -> Any:
    if not file.streams.audio:
        raise Refused("has no sound")
    check_codec(file.streams.audio[0])
    return file.streams.audio[0]


def _too_long(max_seconds: float) -> str:
    return f"must be at most {max_seconds:g} seconds long"
