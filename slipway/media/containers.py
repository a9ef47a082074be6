"""Files of sound and video: recognized by their first bytes, opened with PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from slipway.media.mp4_tables import check_tables
from slipway.media.refusals import DAMAGED, Refused

if TYPE_CHECKING:
    from av.container import InputContainer

# FFmpeg's demuxer by container. It is always named: a probe would also find playlists, which open
# other files and addresses.
DEMUXERS = {
    "WAV": "wav",
    "MP3": "mp3",
    "FLAC": "flac",
    "OGG": "ogg",
    "MP4": "mov",
    "WEBM": "matroska",
    "AVI": "avi",
}
# What browsers, phones and recorders write; FFmpeg knows hundreds more.
CODECS = frozenset(
    """
    h264 hevc vp8 vp9 av1 libdav1d mpeg4 mjpeg
    aac alac flac mp3 mp3float opus libopus vorbis libvorbis
    pcm_u8 pcm_s16le pcm_s24le pcm_s32le pcm_f32le pcm_f64le pcm_alaw pcm_mulaw
    """.split()
)
# Brands of still pictures in the same container as MP4.
STILL = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
MP3_SYNC = tuple(bytes((0xFF, second)) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2))


class GroupMissing(ImportError, ValueError):
    """A package that decodes the field is not installed; the message names its serving group."""


def container_of(data: bytes) -> str | None:
    """Return the container by its first bytes, None if it is none of `DEMUXERS`."""
    if data[:4] == b"RIFF":
        return {b"WAVE": "WAV", b"AVI ": "AVI"}.get(data[8:12])
    if data[4:8] == b"ftyp" and data[8:12] not in STILL:
        return "MP4"
    if data.startswith((b"ID3", *MP3_SYNC)):
        return "MP3"
    starts = {b"fLaC": "FLAC", b"OggS": "OGG", b"\x1aE\xdf\xa3": "WEBM"}
    return starts.get(data[:4])


@contextmanager
def opened(data: bytes, container: str, group: str, max_pixels: int) -> Iterator["InputContainer"]:
    """Open a file with PyAV for the block; all of its errors become one.

    Raises:
        GroupMissing: PyAV is not installed; it comes with the serving group `group`.
        ValueError: the file is damaged, or claims more than could be read.
    """
    av = import_av(group)
    if container == "MP4":
        check_tables(data)
    options = {
        "max_pixels": str(max_pixels),
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(sorted(CODECS)),
    }
    try:
        with av.open(
            BytesIO(data),
            "r",
            format=DEMUXERS[container],
            options=options,
            metadata_errors="ignore",
        ) as file:
            yield file
    except Refused:
        raise
    # PyAV raises subclasses of OSError, ValueError, LookupError, EOFError and others.
    except Exception:
        raise Refused(DAMAGED) from None


def check_codec(stream: Any) -> None:
    """Raise Refused if the stream's codec is none of `CODECS`."""
    context = stream.codec_context
    if context is None or context.name not in CODECS:
        raise Refused("has a codec that is not accepted")


def import_av(group: str) -> Any:
    """Return PyAV.

    Raises:
        GroupMissing: it is not installed.
    """
    try:
        import av
    except ImportError:
        raise GroupMissing(
            f"cannot be decoded here: this server lacks the serving group {group} (av)"
        ) from None
    return av
