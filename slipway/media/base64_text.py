"""Base64 in JSON: both alphabets and `data:` URIs are read, the standard alphabet is written."""

import base64
import binascii

from slipway.media.refusals import Refused

# The longest part of a `data:` URI before the comma: a media type with its parameters.
LONGEST_PREFIX = 256
_STANDARD = bytes.maketrans(b"-_", b"+/")


def encode_base64(data: bytes) -> str:
    """Return `data` in the standard alphabet with padding, as `data:` URIs require it."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str, max_bytes: int) -> bytes:
    """Return the bytes that `text` stands for.

    Accepts the standard and the URL-safe alphabet, with or without padding, and `data:` URIs,
    whose declared media type is ignored.

    Raises:
        ValueError: it is not base64, or would be longer than `max_bytes`.
    """
    content = _without_prefix(text)
    # Four letters hold three bytes: refused before the memory for the bytes is taken.
    if len(content) // 4 * 3 > max_bytes + 2:
        raise Refused(f"must be at most {max_bytes:,} bytes, got {len(content) // 4 * 3:,}")
    try:
        letters = content.encode("ascii").translate(_STANDARD).rstrip(b"=")
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        if any(letter.isspace() for letter in content):
            raise Refused("is base64 with white space: send it in one line") from None
        raise Refused("is not base64") from None


def _without_prefix(text: str) -> str:
    if text[:5].lower() != "data:":
        return text
    prefix = text[: text.find(",", 0, LONGEST_PREFIX) + 1]
    if not prefix.lower().endswith(";base64,"):
        raise Refused("is a data: URI without ;base64,")
    return text[len(prefix) :]
