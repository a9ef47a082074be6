"""Cross-origin requests: which pages of other hosts may call a service from a browser."""

import re
from collections.abc import Collection, Mapping

from starlette.types import Message, Send

from services.web.problem import MEDIA_TYPE, Problem

ANY = "*"
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")

METHODS = b"GET, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    b"Authorization, X-API-Key, Content-Type, Content-Encoding, Prefer, Slipway-Key, "
    b"Slipway-Purpose, Traceparent"
)
# What a page may read of a response beside its type and length.
RESPONSE_HEADERS = (
    b"Location, Retry-After, Preference-Applied, Slipway-Id, Slipway-Model, Slipway-Version, "
    b"Slipway-Variant"
)
# Chromium keeps a preflight's response for at most two hours.
KEPT_SECONDS = b"7200"

Header = tuple[bytes, bytes]


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in a text, which are separated by commas or spaces.

    Raises:
        ValueError: one is not an origin: a scheme, a host and perhaps a port, without a path.
    """
    origins = tuple(text.replace(",", " ").split())
    for each in origins:
        if each != ANY and not ORIGIN.fullmatch(each):
            raise ValueError(
                f"{each!r} must be an origin like https://example.org, in lower case and without "
                "a path"
            )
    if ANY in origins and len(origins) > 1:
        raise ValueError("* already permits every origin; name it alone")
    return origins


class CrossOrigin:
    """Answers preflight requests, and adds the headers that let a page read a response."""

    def __init__(self, origins: Collection[str]) -> None:
        self._any = ANY in origins
        self._origins = frozenset(each.encode() for each in origins)

    def __bool__(self) -> bool:
        """Return whether any other origin is permitted."""
        return bool(self._origins)

    def permits(self, origin: bytes) -> bool:
        return self._any or origin in self._origins

    def headers(self, origin: bytes) -> list[Header]:
        """Return the headers of a response to a page of this origin."""
        if not self.permits(origin):
            return []
        return [
            (b"access-control-allow-origin", ANY.encode() if self._any else origin),
            (b"access-control-expose-headers", RESPONSE_HEADERS),
            (b"vary", b"Origin"),
        ]

    def wrap(self, send: Send, origin: bytes) -> Send:
        """Return a `send` that adds the headers."""
        more = self.headers(origin)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        return send_with_headers if more else send

    async def answer_preflight(self, headers: Mapping[bytes, bytes], send: Send) -> None:
        """Answer a browser that inquires before it sends a page's request."""
        origin = headers[b"origin"]
        if self.permits(origin):
            status, body = 204, b""
            head = [
                *self.headers(origin),
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", REQUEST_HEADERS),
                (b"access-control-max-age", KEPT_SECONDS),
            ]
        else:
            shown = origin.decode("latin-1")[:100]
            problem = Problem(403, "Origin not permitted", f"{shown!r} may not call this server")
            status, body = problem.status, problem.body()
            head = [(b"content-type", MEDIA_TYPE.encode())]
        head.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a browser inquires what a page of another origin may request."""
    return method == "OPTIONS" and b"access-control-request-method" in headers
