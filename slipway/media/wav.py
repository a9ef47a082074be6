"""WAV files of plain samples, read and written without PyAV."""

import struct
import wave
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from slipway.media.refusals import DAMAGED, Refused

INTEGER, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
# Samples by format and bits: their type, what is subtracted, and what they are divided by.
SAMPLES = {
    (INTEGER, 8): ("u1", 128, 128),
    (INTEGER, 16): ("<i2", 0, 1 << 15),
    (INTEGER, 24): ("<i4", 0, 1 << 31),
    (INTEGER, 32): ("<i4", 0, 1 << 31),
    (FLOAT, 32): ("<f4", 0, 1),
    (FLOAT, 64): ("<f8", 0, 1),
}
# Programs that write to a pipe do not know the length, and write 0 or about the largest number.
UNKNOWN_LENGTH = 0x7FFFF000


@dataclass(frozen=True)
class WavFile:
    """The header of a WAV file and its bytes of samples."""

    format: int
    bits: int
    channels: int
    sample_rate: int
    content: bytes

    @property
    def plain(self) -> bool:
        """Return whether the samples are neither compressed nor of an unusual width."""
        return (self.format, self.bits) in SAMPLES and self.channels > 0

    @property
    def frames(self) -> int:
        """Return the number of samples of one channel."""
        return len(self.content) // (self.channels * self.bits // 8)

    def mono(self) -> np.ndarray:
        """Return the mean of the channels, float32 (samples,), from -1 to 1."""
        kind, middle, scale = SAMPLES[self.format, self.bits]
        content = self.content[: self.frames * self.channels * self.bits // 8]
        if self.bits == 24:  # as the upper three of four bytes
            padded = np.zeros((len(content) // 3, 4), dtype=np.uint8)
            padded[:, 1:] = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3)
            content = padded.tobytes()
        values = np.frombuffer(content, dtype=kind).reshape(-1, self.channels)
        with np.errstate(all="ignore"):  # floats may be anything; `decode_audio` refuses NaN
            return np.asarray((values.mean(axis=1) - middle) / scale, dtype=np.float32)


def read_wav(data: bytes) -> WavFile:
    """Return header and samples of a WAV file, whatever their format.

    Raises:
        ValueError: the file is damaged or cut off.
    """
    place, header = 12, None
    try:
        while place < len(data):
            name, size = struct.unpack_from("<4sI", data, place)
            content = data[place + 8 : place + 8 + size]
            if name == b"fmt ":
                header = _read_format(content)
            elif name == b"data" and header is not None:
                if not size or size >= UNKNOWN_LENGTH:
                    content = data[place + 8 :]
                elif len(content) < size:
                    break
                return WavFile(*header, content)
            place += 8 + size + size % 2
    except struct.error:
        pass
    raise Refused(DAMAGED)


def _read_format(content: bytes) -> tuple[int, int, int, int]:
    """Return format, bits, channels and sample rate."""
    format, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
    if format == EXTENSIBLE:
        (format,) = struct.unpack_from("<H", content, 24)
    return format, bits, channels, rate


def encode_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return a WAV file of 16 bits; samples (n,) from -1 to 1 are clipped to that range.

    Raises:
        ValueError: the samples are not one channel of finite floats.
    """
    if samples.ndim != 1 or samples.dtype.kind != "f" or not np.isfinite(samples).all():
        raise ValueError(f"samples are finite floats (n,), got {samples.dtype} {samples.shape}")
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()
