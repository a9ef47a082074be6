"""Records in JSON types with facts in the place of their media, which would be too large.

The prediction log and a version's reference rows hold records in this form, so that the monitor
compares like with like.
"""

import base64
import hashlib
from typing import Any

import numpy as np
import PIL.Image
from pydantic_core import to_json

from slipway.contract.record import Record
from slipway.media.audio import Audio
from slipway.media.fields import media_fields
from slipway.media.image import Image
from slipway.media.marker import Media
from slipway.media.pictures import decode_image, encode_jpeg
from slipway.media.sound import decode_audio

# The bounds of what is kept of a field; of the rest, only the length is known.
TEXT_BYTES = 64 * 2**10
OBJECTS, NUMBERS = 200, 10_000
# A picture is measured at about this size: 16 million pixels would take 0.1 s.
MEASURED_SIDE = 256
THUMBNAIL_SIDE = 64


def summarize_record(record: Record, *, thumbnails: bool = False) -> dict[str, Any]:
    """Return the record in JSON types, with facts in the place of media, also of records in it.

    A text of over 64 KiB becomes `{"length", "text"}` with its beginning; a list of over 200
    objects, of over 10,000 numbers, or of over 64 KiB in JSON becomes `{"count", "first"}`.
    """
    marks = media_fields(type(record))
    values = {name: getattr(record, name) for name in type(record).model_fields}
    own = {name for name, value in values.items() if name not in marks and not _has_records(value)}
    plain = record.model_dump(mode="json", include=own)
    summary: dict[str, Any] = {}
    for name, value in values.items():
        if name in marks:
            summary[name] = _facts(marks[name], value, thumbnails)
        else:
            summary[name] = _bounded(plain[name] if name in own else value, thumbnails)
    return summary


def describe_media(mark: Media, data: bytes, *, thumbnails: bool = False) -> dict[str, Any]:
    """Return hash, size and media type, what the header says, such as width and height, and more.

    Pictures have `brightness` and `contrast`, mean and deviation of grey (0 to 1), and `pixels`;
    sound has `loudness`, the root of the mean square. With `thumbnails`, pictures have a JPEG of
    64 pixels in base64.
    """
    facts: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    try:
        facts |= {"media_type": mark.media_type_of(data), **mark.describe(data)}
        if isinstance(mark, Image):
            facts |= _picture_numbers(decode_image(data))
            if thumbnails:
                facts["thumbnail"] = _thumbnail(decode_image(data))
        elif isinstance(mark, Audio):
            facts |= _sound_numbers(mark, data, facts["sample_rate"])
    except ValueError:  # a model made it, and nothing has checked it
        pass
    return facts


def _facts(mark: Media, value: bytes | list[bytes] | None, thumbnails: bool) -> Any:
    if isinstance(value, list):
        return _cut(
            [describe_media(mark, each, thumbnails=thumbnails) for each in value[:OBJECTS]],
            len(value),
        )
    return None if value is None else describe_media(mark, value, thumbnails=thumbnails)


def _has_records(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_records, value.values()))
    return isinstance(value, Record) or (isinstance(value, list) and any(map(_has_records, value)))


def _bounded(value: Any, thumbnails: bool) -> Any:
    """Return a value, in JSON types but for records in it, within the bounds."""
    if isinstance(value, Record):
        return summarize_record(value, thumbnails=thumbnails)
    if isinstance(value, str):
        return _bounded_text(value)
    if isinstance(value, dict):
        return {str(name): _bounded(each, thumbnails) for name, each in value.items()}
    if not isinstance(value, list):
        return value
    most = NUMBERS if all(isinstance(each, int | float) for each in value) else OBJECTS
    return _cut([_bounded(each, thumbnails) for each in value[:most]], len(value))


def _bounded_text(text: str) -> Any:
    if len(text) * 4 <= TEXT_BYTES or len(encoded := text.encode()) <= TEXT_BYTES:
        return text
    return {"length": len(text), "text": encoded[:TEXT_BYTES].decode(errors="ignore")}


def _cut(first: list[Any], count: int) -> Any:
    """Return the first items of a list of `count` items, as many of them as have 64 KiB."""
    kept = len(first)
    while kept and len(to_json(first[:kept])) > TEXT_BYTES:
        kept //= 2
    return first if kept == count else {"count": count, "first": first[:kept]}


def _picture_numbers(image: np.ndarray) -> dict[str, float]:
    height, width = image.shape[:2]
    picture = PIL.Image.fromarray(image)
    grey = picture.reduce(max(1, max(height, width) // MEASURED_SIDE)).convert("L")
    levels = np.asarray(grey, dtype=np.float64) / 255
    return {
        "brightness": round(float(levels.mean()), 6),
        "contrast": round(float(levels.std()), 6),
        "pixels": float(height * width),
    }


def _thumbnail(image: np.ndarray) -> str:
    picture = PIL.Image.fromarray(image)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return base64.b64encode(encode_jpeg(np.asarray(picture), quality=70)).decode()


def _sound_numbers(mark: Audio, data: bytes, sample_rate: int) -> dict[str, float]:
    samples = decode_audio(data, mark.sample_rate or sample_rate, mark.max_seconds)
    rate = mark.sample_rate or sample_rate
    loudness = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return {"seconds": round(samples.size / rate, 3), "loudness": round(loudness, 6)}
