"""Pictures, sound and video for the tests of media fields, made here."""

from fractions import Fraction
from functools import cache
from io import BytesIO
from typing import Any

import av
import numpy as np
import PIL.Image

from slipway.media import Audio, Image, Media, Video, encode_wav

EVERY_FORMAT = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def noise(height: int = 24, width: int = 32) -> np.ndarray:
    """Return colors (height, width, 3) that no two runs differ in."""
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(picture: PIL.Image.Image, format: str, **options: Any) -> bytes:
    """Return a picture as a file."""
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def picture_file(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return noise as a file of the format and mode."""
    return saved(PIL.Image.fromarray(noise()).convert(mode), format, **options)


def tone(sample_rate: int = 8000, seconds: float = 1, hertz: float = 440) -> np.ndarray:
    """Return a sine of half the range, float32 (samples,)."""
    times = np.arange(int(sample_rate * seconds)) / sample_rate
    return np.asarray(np.sin(2 * np.pi * hertz * times) / 2, dtype=np.float32)


def sound_file(container: str, codec: str, sample_rate: int = 48_000, seconds: float = 1) -> bytes:
    """Return a tone in both channels of a file that FFmpeg writes."""
    file = BytesIO()
    samples = np.stack([tone(sample_rate, seconds)] * 2)
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=sample_rate, layout="stereo")
        converter = av.AudioResampler(
            format=stream.format,
            layout="stereo",
            rate=sample_rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = sample_rate
        for each in [*converter.resample(frame), *converter.resample(None)]:
            output.mux(stream.encode(each))
        output.mux(stream.encode())
    return file.getvalue()


def video_file(
    container: str = "mp4",
    codec: str = "mpeg4",
    frames: int = 10,
    size: tuple[int, int] = (64, 48),
    rate: int = 25,
    key_frames: int = 250,
) -> bytes:
    """Return a video of (width, height) whose frame `n` has the grey value `20 + n % 200`.

    The upper left corner is red. Every `key_frames`-th frame is a key frame.
    """
    file = BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = key_frames
        for number in range(frames):
            array = np.full((size[1], size[0], 3), 20 + number % 200, dtype=np.uint8)
            array[:16, :16] = (255, 0, 0)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


@cache
def samples() -> dict[str, tuple[Media, bytes]]:
    """Return a valid file of each kind with the marker of a field that accepts it."""
    image, sound, video = Image(formats=EVERY_FORMAT), Audio(sample_rate=16_000), Video()
    grey16 = PIL.Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
    frames = [PIL.Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    animated = {"save_all": True, "append_images": frames[1:]}
    return {
        "png": (image, picture_file("PNG")),
        "palette png": (image, picture_file("PNG", "P")),
        "grey and transparent png": (image, picture_file("PNG", "LA")),
        "16 bit png": (image, saved(grey16, "PNG")),
        "animated png": (image, saved(frames[0], "PNG", **animated)),
        "jpeg": (image, picture_file("JPEG")),
        "progressive jpeg": (image, picture_file("JPEG", progressive=True)),
        "cmyk jpeg": (image, picture_file("JPEG", "CMYK")),
        "webp": (image, picture_file("WEBP")),
        "lossless webp": (image, picture_file("WEBP", "RGBA", lossless=True)),
        "animated webp": (image, saved(frames[0], "WEBP", **animated)),
        "gif": (image, picture_file("GIF", "P")),
        "bmp": (image, picture_file("BMP")),
        "wav": (sound, encode_wav(tone(), 8000)),
        "float wav": (sound, sound_file("wav", "pcm_f32le")),
        "a-law wav": (sound, sound_file("wav", "pcm_alaw", 8000)),
        "mp3": (sound, sound_file("mp3", "libmp3lame")),
        "flac": (sound, sound_file("flac", "flac")),
        "ogg": (sound, sound_file("ogg", "libopus")),
        "webm sound": (sound, sound_file("webm", "libopus")),
        "mp4 sound": (sound, sound_file("mp4", "aac")),
        "mp4": (video, video_file("mp4", "libx264")),
        "webm": (video, video_file("webm", "libvpx")),
        "avi": (video, video_file("avi", "mpeg4")),
    }
