"""What the stream answers: whether it lives, whether it sends, and its metrics."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.stream.forwarder import Forwarder
from services.stream.settings import Settings
from services.web import errors
from services.web.guard import Guard
from services.web.headers import SecurityHeaders
from services.web.problem import Problem
from slipway.access.scopes import Scope

STOP_SECONDS = 5.0


def create(settings: Settings) -> FastAPI:
    """The application; it sends from its start to its end.

    Raises:
        Busy: another process sends the same log.
        ValueError: the settings or the position fall short.
        OSError: the disk is full, dead or refuses.
    """
    forwarder, guard = Forwarder(settings), Guard(settings)
    stopping = threading.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = threading.Thread(
            target=forwarder.run, args=(stopping,), name="forwarder", daemon=True
        )
        thread.start()
        yield
        stopping.set()
        # What is not confirmed by then is sent again by the next.
        thread.join(STOP_SECONDS)

    app = FastAPI(
        title="Slipway stream",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(SecurityHeaders)

    @app.get("/v1/live")
    async def live() -> dict[str, bool]:
        """Whether the process answers."""
        return {"live": True}

    @app.get("/v1/ready")
    async def ready() -> dict[str, bool]:
        """Whether it sends: 503 while no broker confirms, with the reason."""
        if forwarder.fault:
            raise Problem(503, "Not ready", forwarder.fault)
        return {"ready": True}

    @app.get("/metrics")
    def exposition(request: Request) -> Response:
        """For Prometheus."""
        guard.admit(dict(request.scope["headers"]), Scope.METRICS)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    errors.add_handlers(app, service="stream")
    return app
