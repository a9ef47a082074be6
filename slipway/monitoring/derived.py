"""Simple numbers that stand for a picture, a long text or a list: what can be watched of them."""

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from slipway.monitoring.values import number

Derived = dict[str, float | None]

# A picture of 4,096 x 4,096 would take 0.1 s and 50 MB to look at; it is looked at small.
GLANCE = 256
# A few kB of PNG can claim to hold gigabytes.
MOST_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def of_text(value: Any) -> Derived:
    """`length` in characters, `words`, and `digits`: their share of the characters."""
    if not isinstance(value, str):
        return dict.fromkeys(("length", "words", "digits"))
    digits = sum(map(str.isdigit, value))
    return {
        "length": float(len(value)),
        "words": float(len(value.split())),
        "digits": digits / len(value) if value else 0.0,
    }


def of_picture(value: Any) -> Derived:
    """`brightness` and `contrast` (mean and standard deviation of grey, 0 to 1), `pixels`."""
    nothing = dict.fromkeys(("brightness", "contrast", "pixels"))
    picture = _opened(value)
    if picture is None:
        return nothing
    import numpy as np

    wide, high = picture.size
    try:
        picture.draft("L", (GLANCE, GLANCE))
        grey = picture.convert("L")
        grey.thumbnail((GLANCE, GLANCE))
        seen = np.asarray(grey, dtype=np.float64) / 255
    except Exception:  # damaged bytes make Pillow raise OSError, SyntaxError, struct.error ...
        return nothing
    return {
        "brightness": float(seen.mean()),
        "contrast": float(seen.std()),
        "pixels": float(wide * high),
    }


def of_numbers(value: Any) -> Derived:
    """`mean`, `spread` (standard deviation) and `length` of a list of numbers."""
    nothing = dict.fromkeys(("mean", "spread", "length"))
    if not isinstance(value, Sequence) or isinstance(value, str):
        return nothing
    found = [each for each in map(number, value) if each is not None]
    if not found:
        return {**nothing, "length": float(len(value))}
    mean = math.fsum(found) / len(found)
    variance = math.fsum((each - mean) ** 2 for each in found) / len(found)
    return {"mean": mean, "spread": math.sqrt(variance), "length": float(len(value))}


DERIVE: dict[str, Callable[[Any], Derived]] = {
    "text": of_text,
    "picture": of_picture,
    "numbers": of_numbers,
}


def is_picture(value: Any) -> bool:
    return _opened(value) is not None


def _opened(value: Any) -> Any:
    """The picture that base64 text holds, its header read; None for anything else."""
    if not isinstance(value, str) or len(value) < 64:
        return None
    from PIL import Image

    # Both alphabets are in use: pydantic writes the one that is safe in URLs.
    text = value.replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        picture = Image.open(BytesIO(content), formats=FORMATS)
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        return None
    wide, high = picture.size
    return picture if wide * high <= MOST_PIXELS else None
