"""Limits the size of request bodies, for services whose requests are all small."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.problem import Problem, response


class BodyBound:
    """Middleware that responds 413 to a body of more than `body_bytes` bytes."""

    def __init__(self, inner: ASGIApp, *, body_bytes: int) -> None:
        self.inner, self.body_bytes = inner, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        detail = f"the body may hold at most {self.body_bytes} bytes"
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.body_bytes:
            refusal = response(Problem(413, "Too large", detail))
            refusal.headers["connection"] = "close"
            await refusal(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.body_bytes:
                # FastAPI passes this type on; any other exception it reports as invalid JSON.
                raise HTTPException(413, detail)
            return message

        await self.inner(scope, bounded, send)
