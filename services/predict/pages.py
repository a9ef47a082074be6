"""Routes for documentation, health, metrics, the and the list of models."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from services.predict import catalogue, links, metrics, openapi, site_files
from services.predict.core import Core
from services.predict.model_store import ModelStore, ServedProject
from services.web.problem import Problem
from slipway.access.scopes import Scope as KeyScope
from slipway.contract.shipped import Shipped


def router(core: Core) -> APIRouter:
    """Return the routes of this module."""
    api = APIRouter()
    _add_site(api, core)
    _add_documentation(api, core)
    _add_health(api, core)
    _add_models(api, core)
    return api


def _add_site(api: APIRouter, core: Core) -> None:
    """Add the catalogue, the page to try a model, and the files that these load."""

    @api.get("/", include_in_schema=False)
    async def start(request: Request) -> Response:
        return site_files.page("catalogue.html", request)

    @api.get("/try/{name}", include_in_schema=False)
    async def try_page(name: str, request: Request) -> Response:
        served = core.models.served.get(name)
        runs = served is not None and served.champion.version.profile.browser is not None
        return site_files.page("try.html", request, status=200 if served else 404, runs_models=runs)

    @api.get("/site/{release}/{name}", include_in_schema=False)
    async def file(release: str, name: str, request: Request) -> Response:
        found = site_files.asset(release, name, request)
        if found is None:
            raise Problem(404, "Not found", f"the site has no file {name}")
        return found

    @api.get("/v1/catalogue", tags=["models"])
    async def catalogue_entries(request: Request) -> dict[str, Any]:
        """List every project with its question, metric and state, and the platform's pages."""
        core.admit(request, KeyScope.PREDICT)
        entries = await run_in_threadpool(lambda: [catalogue.entry(e) for e in core.projects()])
        pages = await links.platform_links(core.settings)
        return {"models": entries, "faults": core.models.faults, "links": pages}

    @api.get("/v1/models/{name}/picture", tags=["models"], response_class=Response)
    async def picture(name: str, request: Request) -> Response:
        """Return the picture of a project: its own, or the first one in its examples."""
        core.admit(request, KeyScope.PREDICT)
        folder = core.predictor.project(name).champion.version.folder
        found = await run_in_threadpool(catalogue.picture, folder)
        if found is None:
            raise Problem(404, "No picture", f"{name} ships no picture")
        return Response(found.content, media_type=found.media_type)


def _add_documentation(api: APIRouter, core: Core) -> None:
    """Add interactive documentation, whose files come from installed packages."""
    import importlib.util

    # Located without importing it: bentoml takes 60 MB.
    spec = importlib.util.find_spec("bentoml")
    assert spec is not None
    assert spec.origin is not None
    swagger = Path(spec.origin).parent / "_internal" / "server" / "static_content"
    api.mount("/static", StaticFiles(directory=swagger), name="static")

    @api.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=request.app.title,
            swagger_js_url="/static/swagger-ui-bundle.js",
            swagger_css_url="/static/swagger-ui.css",
            swagger_favicon_url="data:,",
        )

    # Writing it takes 15 ms of the event loop, so it is kept until other versions are served.
    kept: dict[tuple[tuple[str, str], ...], bytes] = {}

    @api.get("/openapi.json", include_in_schema=False)
    async def document(request: Request) -> Response:
        served = core.projects()
        versions = tuple((each.name, each.champion.version.digest) for each in served)
        if versions not in kept:
            described = [_described(each) for each in served]
            content = openapi.document(request.app, described, keys_required=not core.guard.open)
            kept.clear()
            kept[versions] = to_json(content)
        return Response(kept[versions], media_type="application/json")


def _described(served: ServedProject) -> openapi.DescribedModel:
    version = served.champion.version
    examples = Shipped(version.folder).examples
    return openapi.DescribedModel(served.name, version.version, version.profile, examples)


def _add_health(api: APIRouter, core: Core) -> None:
    models = core.models

    @api.get("/v1/live", tags=["health"])
    async def live() -> dict[str, bool]:
        """Report that the process responds."""
        return {"live": True}

    @api.get("/v1/ready", tags=["health"])
    async def ready() -> JSONResponse:
        """Report whether models serve, with current faults; 503 with the reason until then."""
        if not models.server_ready:
            raise Problem(503, "Not ready", models.not_ready_reason)
        return JSONResponse(
            {
                "ready": True,
                "models": len(models.served),
                "registry": _registry_state(models),
                "prediction_log": core.recorder.state(),
                "faults": models.faults,
            }
        )

    @api.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def exposition(request: Request) -> Response:
        """Return the metrics of all workers, for Prometheus."""
        core.admit(request, KeyScope.METRICS)
        models.update_metrics()
        core.recorder.update_metrics()
        text = await run_in_threadpool(metrics.exposition)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _registry_state(models: ModelStore) -> str:
    if behind := models.behind_seconds():
        return f"behind for {behind:.0f} s: changes are not applied; serving goes on"
    return "reached" if models.snapshot.reachable else "away; serving goes on"


def _add_models(api: APIRouter, core: Core) -> None:
    @api.get("/v1/models", tags=["models"])
    async def models(request: Request) -> dict[str, Any]:
        """List every served model, and the faults of those that do not match the registry."""
        core.admit(request, KeyScope.PREDICT)
        summaries = [summary(each) for each in core.projects()]
        return {"models": summaries, "faults": core.models.faults}

    @api.get("/v1/models/{name}", tags=["models"])
    async def model(name: str, request: Request) -> dict[str, Any]:
        """Return one model: its versions, test metrics and examples."""
        core.admit(request, KeyScope.PREDICT)
        served = core.predictor.project(name)
        shipped = Shipped(served.champion.version.folder)
        return {**summary(served), "metrics": shipped.metrics, "examples": shipped.examples}

    @api.get("/v1/models/{name}/card", tags=["models"], response_class=PlainTextResponse)
    async def card(name: str, request: Request) -> PlainTextResponse:
        """Return the model card, as Markdown."""
        core.admit(request, KeyScope.PREDICT)
        served = core.predictor.project(name)
        text = Shipped(served.champion.version.folder).card
        return PlainTextResponse(text, media_type="text/markdown")


def summary(served: ServedProject) -> dict[str, Any]:
    """Return a project as the API lists it."""
    champion = served.champion
    return {
        "name": served.name,
        "version": champion.version.version,
        "digest": champion.version.digest,
        "loaded": champion.loaded,
        "isolated": champion.is_isolated,
        "variants": {
            variant: model.version.version for variant, model in sorted(served.models.items())
        },
        "policy": served.policy.model_dump(exclude_defaults=True),
        "predict": f"/v1/models/{served.name}/predict",
        "card": f"/v1/models/{served.name}/card",
    }
