"""The HTTP API of the features exporter."""

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from services.features.settings import Settings
from services.web import errors
from services.web.guard import Guard
from services.web.headers import SecurityHeaders
from slipway.access.scopes import Scope


def create(settings: Settings, registry: CollectorRegistry) -> FastAPI:
    """Return the application that serves the metrics of `registry`."""
    guard = Guard(settings)
    app = FastAPI(
        title="Slipway features", version="1", docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_middleware(SecurityHeaders)

    @app.get("/v1/live")
    async def live() -> dict[str, bool]:
        """Report that the process is alive."""
        return {"live": True}

    @app.get("/metrics")
    def exposition(request: Request) -> Response:
        """Return the metrics for Prometheus; each scrape queries the store."""
        guard.admit(dict(request.scope["headers"]), Scope.METRICS)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    errors.add_handlers(app, service="features")
    return app
