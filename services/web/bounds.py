"""A bound on the bytes of a body, for services whose requests are all small."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.problem import Problem, response


class BodyBound:
    def __init__(self, inner: ASGIApp, *, body_bytes: int) -> None:
        self.inner, self.body_bytes = inner, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        told = f"the body may hold {self.body_bytes} bytes"
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.body_bytes:
            refusal = response(Problem(413, "Too large", told))
            refusal.headers["connection"] = "close"
            await refusal(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.body_bytes:
                # Of a kind that FastAPI lets through: others it takes for a body that is no JSON.
                raise HTTPException(413, told)
            return message

        await self.inner(scope, bounded, send)
