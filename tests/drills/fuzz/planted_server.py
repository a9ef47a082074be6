"""`python -m tests.drills.fuzz.planted_server PORT [FAULT ...]`: a small service with faults.

The runner must find each of `fails`, `leaks`, `stops`, `restarts`, `cuts` and `forgets`, and
nothing without any.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.web import errors
from services.web.bounded_protocol import BoundedProtocol
from services.web.bounds import BodyBound


class Numbers(BaseModel):
    """The body of the one route that does something."""

    number: float
    text: str


def create(faults: set[str]) -> FastAPI:
    """Return the application with these faults."""
    app = FastAPI(docs_url=None, redoc_url=None)
    app.add_middleware(BodyBound, body_bytes=2**20)
    errors.add_handlers(app, service="planted")
    kept: list[bytes] = []
    changed: list[float] = []

    @app.get("/v1/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.get("/metrics")
    async def metrics() -> Response:
        count = len(changed) if "restarts" in faults else 0
        return Response(f'slipway_worker_restarts_total{{reason="SIGKILL"}} {count}.0\n')

    @app.post("/numbers")
    async def numbers(body: Numbers) -> Any:
        large = not abs(body.number) < 1e15
        if "leaks" in faults:
            kept.append(os.urandom(2**20))
        if large:
            changed.append(body.number)
            if "fails" in faults:
                raise OverflowError
            if "stops" in faults:
                os._exit(1)
        if "cuts" in faults and len(body.text) != len("text"):
            return StreamingResponse(_cut())
        if "forgets" in faults and changed:
            return {"double": 0}
        return {"double": body.number * 2}

    return app


def _cut() -> Iterator[bytes]:
    yield b"a"
    raise RuntimeError


if __name__ == "__main__":
    uvicorn.run(
        create(set(sys.argv[2:])), port=int(sys.argv[1]), http=BoundedProtocol, log_level="error"
    )
