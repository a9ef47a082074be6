"""Request bodies: read within limits, unpacked within limits."""

import asyncio
import zlib
from typing import Any

from starlette.types import Receive

from services.web.problem import Problem

# What a slow sender may take for what did not come with the head.
BODY_SECONDS = 30.0
UNPACKED_STEP = 2**16


class Disconnected(Exception):
    """The caller went away before the whole body was here."""


def too_large(limit: int) -> Problem:
    return Problem(413, "Body too large", f"the body must be at most {limit} bytes")


async def read(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The body, refused as soon as it is known to be over `limit` bytes, and unpacked.

    Raises:
        Problem: too large, too slow, or packed in a way that is not known.
        Disconnected: there is nobody to answer any more.
    """
    length = headers.get(b"content-length")
    if length is not None and (len(length) > 18 or int(length) > limit):
        raise too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] != "http.request":
        body = await _rest(receive, message, limit)
    elif len(body) > limit:
        # In chunks that all came before the first of them was asked for.
        raise too_large(limit)
    if b"content-encoding" in headers:
        body = unpacked(body, headers[b"content-encoding"], limit)
    return body


async def _rest(receive: Receive, message: Any, limit: int) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
    except TimeoutError:
        told = f"the body did not arrive in {BODY_SECONDS:g} s"
        raise Problem(408, "Body too slow", told) from None


def unpacked(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Raises Problem: unknown encoding, damaged, or over `limit` when unpacked."""
    kind = encoding.strip().lower()
    if kind in (b"", b"identity"):
        return body
    if kind not in (b"gzip", b"deflate"):
        told = f"Content-Encoding must be gzip or deflate, got {kind.decode('latin-1')!r}"
        raise Problem(415, "Unsupported content encoding", told)
    # 32: gzip's and zlib's heads are both known.
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        # A bomb of 16 MiB holds 16 GiB: never more than one byte over the limit is unpacked.
        told_body = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise Problem(400, "Damaged body", f"it is no {kind.decode()}: {error}") from None
    if len(told_body) > limit:
        raise too_large(limit)
    if not stream.eof:
        raise Problem(400, "Damaged body", f"the {kind.decode()} stream ends too early")
    return told_body
