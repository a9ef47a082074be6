"""Reads and unpacks request bodies within limits."""

import asyncio
import zlib
from typing import Any

from starlette.types import Receive

from services.web.bounded_protocol import BYTES_PER_SECOND
from services.web.problem import Problem

# How long a body may take, besides the time for its bytes; servers without our own protocol, such
# as BentoML's, have no other limit.
BODY_SECONDS = 30.0
UNPACKED_STEP = 2**16


class Disconnected(Exception):
    """Raised when the caller disconnected before the whole body arrived."""


async def disconnected(receive: Receive) -> None:
    """Return when the caller has disconnected; the whole body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


def too_large(limit: int) -> Problem:
    """Return the problem to raise for a body over `limit` bytes."""
    return Problem(413, "Body too large", f"the body must be at most {limit} bytes")


async def read(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """Return the body, unpacked; refuse it as soon as it is known to exceed `limit` bytes.

    Raises:
        Problem: too large, too slow, damaged, or of an unknown content encoding.
        Disconnected: the caller disconnected.
    """
    length = headers.get(b"content-length")
    if length is not None and (len(length) > 18 or int(length) > limit):
        raise too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] != "http.request":
        body = await _rest(receive, message, limit)
    elif len(body) > limit:
        # A chunked body, all chunks of which arrived before the first was read.
        raise too_large(limit)
    if b"content-encoding" in headers:
        body = await unpack(body, headers[b"content-encoding"], limit)
    return body


async def _rest(receive: Receive, message: Any, limit: int) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS) as patience:
            start = asyncio.get_running_loop().time()
            while True:
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                patience.reschedule(start + BODY_SECONDS + size / BYTES_PER_SECOND)
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
    except TimeoutError:
        message = f"after {BODY_SECONDS:g} s, send at least {BYTES_PER_SECOND} bytes a second"
        raise Problem(408, "Body too slow", message) from None


async def unpack(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return the decompressed body.

    Raises:
        Problem: unknown encoding, damaged, or over `limit` bytes when unpacked.
    """
    kind = encoding.strip().lower()
    if kind in (b"", b"identity"):
        return body
    if kind not in (b"gzip", b"deflate"):
        message = f"Content-Encoding must be gzip or deflate, got {kind.decode('latin-1')!r}"
        raise Problem(415, "Unsupported content encoding", message)
    # 32: accept both gzip's and zlib's headers.
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    parts, size = [], 0
    try:
        while not stream.eof:
            part = stream.decompress(body, UNPACKED_STEP)
            body = stream.unconsumed_tail
            if not part and not body:
                break
            # A bomb of 16 MiB unpacks to 16 GiB, so at most a step over the limit is unpacked.
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
            # A step takes 0.1 ms. 16 MiB at once took 30 ms, for which every other caller waited.
            await asyncio.sleep(0)
    except zlib.error as error:
        raise Problem(400, "Damaged body", f"it is no {kind.decode()}: {error}") from None
    if not stream.eof:
        raise Problem(400, "Damaged body", f"the {kind.decode()} stream ends too early")
    return b"".join(parts)
