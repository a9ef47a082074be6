"""Format and size of a picture, read from its header without decoding it."""

from dataclasses import dataclass
from io import BytesIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from slipway.media.refusals import DAMAGED, Refused, one_of

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}
# Called directly: PIL.Image.open warns of large pictures or raises, by a limit of the process.
READERS: dict[str, type[ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
}
# Each scan of a progressive JPEG costs a pass over the whole picture: 10 MB could hold 100,000 of
# them, which is hours of work. Encoders write about ten.
MAX_SCANS = 100
# Whatever a field allows: decoded, they are 300 MB.
MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class PictureHeader:
    """The facts in the first bytes of a picture."""

    format: str
    width: int
    height: int


def picture_format(data: bytes) -> str | None:
    """Return the format by the first bytes, None if it is none of `MEDIA_TYPES`."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    return "BMP" if data.startswith(b"BM") else None


def read_picture_header(
    data: bytes, formats: tuple[str, ...] = tuple(MEDIA_TYPES)
) -> PictureHeader:
    """Return format and size; the size is that of the stored picture, before EXIF orientation.

    Raises:
        ValueError: `data` is not a picture in one of `formats`, or its header is damaged.
    """
    found = _format_in(data, formats)
    size = _webp_size(data) if found == "WEBP" else _open(data, found).size
    return PictureHeader(found, *size)


def open_picture(data: bytes) -> ImageFile:
    """Return a picture of which only the header is read.

    Raises:
        ValueError: `data` is not a picture, its header is damaged, or it has over `MAX_PIXELS`.
    """
    found = _format_in(data, tuple(MEDIA_TYPES))
    if found == "WEBP":  # whose reader takes memory for two frames
        _check_pixels(_webp_size(data))
    picture = _open(data, found)
    _check_pixels(picture.size)
    return picture


def _format_in(data: bytes, formats: tuple[str, ...]) -> str:
    found = picture_format(data)
    if found is None or found not in formats:
        raise Refused(f"is not a {one_of(formats)} picture")
    return found


def _check_pixels(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise Refused(f"must have at most {MAX_PIXELS:,} pixels, got {size[0]} x {size[1]}")


def _open(data: bytes, format: str) -> ImageFile:
    if format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise Refused(f"must have at most {MAX_SCANS} scans")
    try:
        return READERS[format](BytesIO(data))
    # Damaged bytes make Pillow raise OSError, SyntaxError, struct.error, ValueError and others.
    except Exception:
        raise Refused(DAMAGED) from None


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return the size by the first chunk (RFC 9649, section 2)."""
    chunk, first = data[12:16], data[20:30]
    if chunk == b"VP8X" and len(first) == 10:
        return _little(first[4:7]) + 1, _little(first[7:10]) + 1
    if chunk == b"VP8 " and len(first) == 10 and first[3:6] == b"\x9d\x01\x2a":
        return _little(first[6:8]) & 0x3FFF, _little(first[8:10]) & 0x3FFF
    if chunk == b"VP8L" and len(first) >= 5 and first[0] == 0x2F:
        bits = _little(first[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise Refused(DAMAGED)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
