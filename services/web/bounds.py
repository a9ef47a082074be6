"""Limits the size of request bodies before a route or a key is looked at."""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.problem import Problem, response


class BodyBound:
    """Middleware that responds 413 to a body of more than `body_bytes` bytes."""

    def __init__(
        self, inner: ASGIApp, *, body_bytes: int, except_paths: re.Pattern[str] | None = None
    ) -> None:
        """Wrap an application.

        Args:
            except_paths: routes that admit the caller first and then count the body themselves.
        """
        self.inner, self.body_bytes, self.except_paths = inner, body_bytes, except_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (
            self.except_paths and self.except_paths.fullmatch(scope["path"])
        ):
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
