"""The model server packaged as a BentoML service.

bentoml serve services.predict.service:Predict
"""

from slipway import home

home.silence_telemetry()

import bentoml  # noqa: E402 - telemetry is off before it is imported
from starlette.types import ASGIApp, Receive, Scope, Send  # noqa: E402

from services.predict.app import create_app, running  # noqa: E402

app = create_app()
# BentoML starts and stops a mounted application by its lifespan.
app.rest.router.lifespan_context = lambda _: running(app)


class Front:
    """Sends every request past BentoML's own routes, except for its health checks.

    BentoML's start page loads a tracking script, and its metrics grow with every invented path.
    """

    BENTOML_ROUTES = frozenset({"/livez", "/readyz", "/healthz"})

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"] not in self.BENTOML_ROUTES
        await (app if ours else self.inner)(scope, receive, send)


@bentoml.asgi_app(app.rest, path="/")
@bentoml.service(
    name="slipway_predict", workers=1, traffic={"timeout": 30}, metrics={"enabled": False}
)
class Predict:
    """Serves the registry's champions; BentoML adds health endpoints and packaging."""

    def __is_ready__(self) -> bool:
        return app.core.models.ready


def _front(inner: ASGIApp) -> Front:
    return Front(inner)


Predict.add_asgi_middleware(_front)  # type: ignore[attr-defined]
