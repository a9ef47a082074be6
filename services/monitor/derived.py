"""Numeric features of pictures, sound, long texts and lists, by which these are monitored."""

import base64
import binascii
import math
from collections.abc import Callable
from io import BytesIO
from typing import Any

from services.monitor.derived_objects import Derived, mask_features, object_features, objects
from slipway.predictions.facts import is_cut_text, is_media
from slipway.quality.values import number

# A picture of 4,096 x 4,096 pixels would take 0.1 s and 50 MB; it is measured at this size.
THUMBNAIL = 256
# A few kB of PNG can expand to gigabytes.
MOST_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def text_features(value: Any) -> Derived:
    """Return `length` in characters, `words`, and `digits`, their share of the characters.

    Of a text that was cut, words and digits of its beginning count.
    """
    length = None
    if is_cut_text(value):
        length, value = number(value["length"]), value["text"]
    if not isinstance(value, str):
        return dict.fromkeys(("length", "words", "digits"))
    digits = sum(map(str.isdigit, value))
    return {
        "length": length if length is not None else float(len(value)),
        "words": float(len(value.split())),
        "digits": digits / len(value) if value else 0.0,
    }


def picture_features(value: Any) -> Derived:
    """Return `brightness` and `contrast`, mean and deviation of grey (0 to 1), and `pixels`."""
    missing = dict.fromkeys(("brightness", "contrast", "pixels"))
    if is_media(value):
        return {name: number(value.get(name)) for name in missing}
    picture = _opened(value)
    if picture is None:
        return missing
    import numpy as np

    wide, high = picture.size
    try:
        picture.draft("L", (THUMBNAIL, THUMBNAIL))
        grey = picture.convert("L")
        grey.thumbnail((THUMBNAIL, THUMBNAIL))
        grey_levels = np.asarray(grey, dtype=np.float64) / 255
    except Exception:  # damaged bytes make Pillow raise OSError, SyntaxError, struct.error ...
        return missing
    return {
        "brightness": float(grey_levels.mean()),
        "contrast": float(grey_levels.std()),
        "pixels": float(wide * high),
    }


def list_features(value: Any) -> Derived:
    """Return `mean`, `spread` (standard deviation) and `length` of a list of numbers.

    Of a list that was cut, mean and spread of its beginning count.
    """
    missing = dict.fromkeys(("mean", "spread", "length"))
    first, length = objects(value)
    if first is None:
        return missing
    found = [each for each in map(number, first) if each is not None]
    if not found:
        return {**missing, "length": length}
    mean = math.fsum(found) / len(found)
    variance = math.fsum((each - mean) ** 2 for each in found) / len(found)
    return {"mean": mean, "spread": math.sqrt(variance), "length": length}


def sound_features(value: Any) -> Derived:
    """Return `seconds` and `loudness`, the root of the mean square, of sound on record."""
    return _facts(value, ("seconds", "loudness"))


def video_features(value: Any) -> Derived:
    """Return `seconds`, `frames`, and `pixels` of a frame, of a video on record."""
    facts = _facts(value, ("seconds", "frames", "width", "height"))
    wide, high = facts.pop("width"), facts.pop("height")
    return {**facts, "pixels": wide * high if wide is not None and high is not None else None}


def document_features(value: Any) -> Derived:
    """Return `bytes`, the size of a document or state on record."""
    return _facts(value, ("bytes",))


def _facts(value: Any, names: tuple[str, ...]) -> Derived:
    return {name: number(value.get(name)) if is_media(value) else None for name in names}


DERIVE: dict[str, Callable[[Any], Derived]] = {
    "text": text_features,
    "picture": picture_features,
    "numbers": list_features,
    "sound": sound_features,
    "video": video_features,
    "document": document_features,
    "mask": mask_features,
    "objects": object_features,
}
# By the beginning of the media type.
MEDIA_KINDS = {"image": "picture", "audio": "sound", "video": "video"}


def media_kind(value: Any) -> str:
    """Return the kind of the facts that stand for media."""
    return MEDIA_KINDS.get(str(value.get("media_type")).partition("/")[0], "document")


def is_picture(value: Any) -> bool:
    """Return whether the value is base64 text of a picture."""
    return _opened(value) is not None


def _opened(value: Any) -> Any:
    """Open the picture in base64 text, reading its header only; None for anything else."""
    if not isinstance(value, str) or len(value) < 64:
        return None
    from PIL import Image

    # Both alphabets of base64 are in use: pydantic writes the one that is safe in URLs.
    text = value.replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        picture = Image.open(BytesIO(content), formats=FORMATS)
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        return None
    wide, high = picture.size
    return picture if wide * high <= MOST_PIXELS else None
