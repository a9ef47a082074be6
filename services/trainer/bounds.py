"""What holds for every request and answer: a bound on the body, and headers for browsers."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.predict.problem import MEDIA_TYPE, Problem

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class Bounds:
    def __init__(self, inner: ASGIApp, *, body_bytes: int) -> None:
        self.inner, self.body_bytes = inner, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.body_bytes:
            await self._refuse(send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.body_bytes:
                # Of a kind that FastAPI lets through: others it takes for a body that is no JSON.
                raise HTTPException(413, self._told)
            return message

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.inner(scope, bounded, sealed)

    @property
    def _told(self) -> str:
        return f"the body may hold {self.body_bytes} bytes"

    async def _refuse(self, send: Send) -> None:
        body = Problem(413, "Too large", self._told).body()
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
        headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
