"""The HTTP API of the stream: liveness, readiness and metrics."""

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
    """Return the application; it forwards records from its start to its shutdown.

    Raises:
        Busy: another process forwards the same log.
        ValueError: the settings or the position file are invalid.
        OSError: the disk is full or fails.
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
        # The next process resends what is not confirmed by then.
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
        """Report that the process is alive."""
        return {"live": True}

    @app.get("/v1/ready")
    async def ready() -> dict[str, bool]:
        """Report whether records are sent: 503 with the reason while no broker confirms."""
        if forwarder.fault:
            raise Problem(503, "Not ready", forwarder.fault)
        return {"ready": True}

    @app.get("/metrics")
    def exposition(request: Request) -> Response:
        """Return the metrics for Prometheus."""
        guard.admit(dict(request.scope["headers"]), Scope.METRICS)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    errors.add_handlers(app, service="stream")
    return app
