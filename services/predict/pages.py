"""What is asked seldom, by FastAPI: pages, the list of models, health, metrics, administration."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from services.predict import body as bodies
from services.predict import metrics, openapi
from services.predict.fleet import Served
from services.web import errors
from services.web.guard import named
from services.web.headers import SecurityHeaders
from services.web.problem import Problem
from slipway.access.scopes import Scope as KeyScope
from slipway.contract.shipped import Shipped

if TYPE_CHECKING:
    from services.predict.app import App

# The page runs no script but Swagger's own file and the few lines that FastAPI writes into it.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)


def create(server: "App") -> FastAPI:
    from services.predict import administration, scoring, truths
    from services.predict.oip import http as v2

    app = FastAPI(
        title="Slipway model server",
        version="1",
        description="Every model that is champion in the registry, behind a typed endpoint.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.server = server
    app.add_middleware(SecurityHeaders, policies={"/docs": DOCS_POLICY})
    _add_pages(app, server)
    _add_health(app, server)
    _add_models(app, server)
    _add_explain(app, server)
    truths.add(app, server)
    administration.add(app, server)
    scoring.add(app, server)
    v2.add(app, server)
    errors.add_handlers(app, service="predict")
    return app


def allow(server: "App", request: Request, scope: KeyScope) -> str:
    """Who asks, for the audit log.

    Raises:
        Problem: 401, 403 or 429.
    """
    return named(server.guard.admit(dict(request.scope["headers"]), scope))


def _add_pages(app: FastAPI, server: "App") -> None:
    """The documentation to try, from files of our own packages: it works without internet."""
    import importlib.util

    # Found without importing it: bentoml takes 60 MB.
    spec = importlib.util.find_spec("bentoml")
    assert spec is not None
    assert spec.origin is not None
    swagger = Path(spec.origin).parent / "_internal" / "server" / "static_content"
    app.mount("/static", StaticFiles(directory=swagger), name="static")

    @app.get("/", include_in_schema=False)
    async def start() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/static/swagger-ui-bundle.js",
            swagger_css_url="/static/swagger-ui.css",
            swagger_favicon_url="data:,",
        )

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> JSONResponse:
        return JSONResponse(openapi.document(app, by_name(server)))


def _add_health(app: FastAPI, server: "App") -> None:
    fleet = server.fleet

    @app.get("/v1/live", tags=["health"])
    async def live() -> dict[str, bool]:
        """Whether the process answers."""
        return {"live": True}

    @app.get("/v1/ready", tags=["health"])
    async def ready() -> JSONResponse:
        """Whether models answer, 503 with the reason until then; and what is amiss."""
        if not fleet.server_ready:
            raise Problem(503, "Not ready", fleet.not_ready_reason)
        return JSONResponse(
            {
                "ready": True,
                "models": len(fleet.served),
                "registry": "reached" if fleet.snapshot.reachable else "away; serving goes on",
                "prediction_log": server.recorder.state(),
                "faults": fleet.faults,
            }
        )

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def exposition(request: Request) -> Response:
        """For Prometheus; those of all workers."""
        allow(server, request, KeyScope.METRICS)
        server.count()
        server.recorder.count()
        told = await run_in_threadpool(metrics.exposition)
        return Response(told, media_type=CONTENT_TYPE_LATEST)


def _add_models(app: FastAPI, server: "App") -> None:
    fleet = server.fleet

    @app.get("/v1/models", tags=["models"])
    async def models(request: Request) -> dict[str, Any]:
        """Every model that is served, and those that are not as the registry wants."""
        allow(server, request, KeyScope.PREDICT)
        return {"models": [summary(each) for each in by_name(server)], "faults": fleet.faults}

    @app.get("/v1/models/{name}", tags=["models"])
    async def model(name: str, request: Request) -> dict[str, Any]:
        """One model: its versions, test metrics and examples."""
        allow(server, request, KeyScope.PREDICT)
        served = server.predict.served(name)
        shipped = Shipped(served.champion.version.folder)
        return {**summary(served), "metrics": shipped.metrics, "examples": shipped.examples}

    @app.get("/v1/models/{name}/card", tags=["models"], response_class=PlainTextResponse)
    async def card(name: str, request: Request) -> PlainTextResponse:
        """The model card, as Markdown."""
        allow(server, request, KeyScope.PREDICT)
        served = server.predict.served(name)
        told = Shipped(served.champion.version.folder).card
        return PlainTextResponse(told, media_type="text/markdown")


def _add_explain(app: FastAPI, server: "App") -> None:
    @app.post("/v1/models/{name}/explain", tags=["predict"])
    async def explain(name: str, request: Request) -> Response:
        """Divide the champion's answer among the fields of the record: Shapley values."""
        allow(server, request, KeyScope.PREDICT)
        unit = server.predict.served(name).champion
        if not unit.version.profile.explains:
            told = f"{name} names no number of its answer to explain"
            raise Problem(422, "Not explainable", told)
        headers = dict(request.scope["headers"])
        body = await bodies.read(request.receive, headers, server.settings.body_bytes)
        body = await server.predict.lookups.filled(unit, body)
        await server.fleet.load(unit)
        found = await unit.explain(body)
        head = f'{{"model":"{name}","version":"{unit.version.version}","explanations":'
        return Response(head.encode() + found + b"}", media_type="application/json")


def by_name(server: "App") -> list[Served]:
    return [server.fleet.served[name] for name in sorted(server.fleet.served)]


def summary(served: Served) -> dict[str, Any]:
    champion = served.champion
    return {
        "name": served.name,
        "version": champion.version.version,
        "digest": champion.version.digest,
        "loaded": champion.loaded,
        "isolated": champion.isolate,
        "variants": {
            variant: unit.version.version for variant, unit in sorted(served.units.items())
        },
        "policy": served.policy.model_dump(exclude_defaults=True),
        "predict": f"/v1/models/{served.name}/predict",
        "card": f"/v1/models/{served.name}/card",
    }
