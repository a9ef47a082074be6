"""The model server: one typed endpoint for every champion in the registry."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from services.predict import metrics, openapi
from services.predict.fleet import Fleet, Served
from services.predict.problem import Problem, refused
from services.predict.settings import Settings
from slipway.contract import Record

log = logging.getLogger("slipway.predict")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application; it follows the registry while it runs."""
    chosen = settings or Settings.from_environment()
    fleet = Fleet()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(follow(fleet, chosen.reload_seconds))
        yield
        following.cancel()

    app = FastAPI(
        title="Slipway model server",
        version="1",
        description="Every model that is champion in the registry, behind a typed endpoint.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.fleet, app.state.settings = fleet, chosen
    app.openapi = lambda: openapi.document(app, _by_name(fleet))  # type: ignore[method-assign]
    _add_pages(app)
    _add_routes(app, fleet, chosen)
    _add_error_handlers(app)
    return app


async def follow(fleet: Fleet, seconds: float) -> None:
    """Ask the registry again and again; one that is away is tried again, not given up."""
    while True:
        try:
            await run_in_threadpool(fleet.sync)
        except Exception as error:
            log.warning("registry not reached: %s", str(error).splitlines()[0])
        await asyncio.sleep(seconds)


def _by_name(fleet: Fleet) -> list[Served]:
    return [fleet.served[name] for name in sorted(fleet.served)]


def _add_pages(app: FastAPI) -> None:
    """The documentation to try, from files of our own packages: it works without internet."""
    import bentoml

    swagger = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
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


def _add_routes(app: FastAPI, fleet: Fleet, settings: Settings) -> None:
    @app.get("/v1/ready", tags=["health"])
    async def ready() -> JSONResponse:
        """Whether champions are loaded; 503 with the reason until then."""
        if not fleet.synced:
            raise Problem(503, "Not ready", "the registry was not reached yet")
        if not fleet.served:
            raise Problem(503, "Not ready", "no champion in the registry; train one: make repro")
        return JSONResponse({"ready": True, "models": len(fleet.served), "faults": fleet.faults})

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def exposition() -> Response:
        """For Prometheus."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models", tags=["models"])
    async def models() -> dict[str, Any]:
        """Every model that is served, and those that would not load."""
        return {"models": [_summary(each) for each in _by_name(fleet)], "faults": fleet.faults}

    @app.get("/v1/models/{name}", tags=["models"])
    async def model(name: str) -> dict[str, Any]:
        """One model: its version, test metrics and examples."""
        served = _served(fleet, name)
        return {**_summary(served), "metrics": served.metrics, "examples": served.examples}

    @app.get("/v1/models/{name}/card", tags=["models"], response_class=PlainTextResponse)
    async def card(name: str) -> PlainTextResponse:
        """The model card, as Markdown."""
        return PlainTextResponse(_served(fleet, name).card, media_type="text/markdown")

    @app.post("/v1/models/{name}/predict", tags=["predict"])
    async def predict(name: str, request: Request) -> Response:
        """Answer one record, or a list of them."""
        start = time.perf_counter()
        served = fleet.served.get(name)
        version, status = served.version if served else "", 500
        try:
            response = await _predict(_served(fleet, name), request, settings)
            status = response.status_code
            return response
        except Problem as problem:
            status = problem.status
            raise
        finally:
            # Names that callers make up must not grow the metrics without end.
            project = name if served or name in fleet.faults else "unknown"
            metrics.REQUESTS.labels(project, version, status).inc()
            if served:
                metrics.LATENCY.labels(name, version).observe(time.perf_counter() - start)


def _summary(served: Served) -> dict[str, Any]:
    return {
        "name": served.name,
        "version": served.version,
        "digest": served.digest,
        "predict": f"/v1/models/{served.name}/predict",
        "card": f"/v1/models/{served.name}/card",
    }


def _served(fleet: Fleet, name: str) -> Served:
    if name in fleet.served:
        return fleet.served[name]
    if name in fleet.faults:
        raise Problem(503, "Model not loaded", f"{name}: {fleet.faults[name]}")
    known = ", ".join(sorted(fleet.served)) or "none"
    raise Problem(404, "No such model", f"no model is called {name!r}; served: {known}")


async def _predict(served: Served, request: Request, settings: Settings) -> Response:
    records = await _records(served, request, settings)
    try:
        told = await run_in_threadpool(served.model.predict, records)
    except Exception as error:
        log.exception("%s v%s failed", served.name, served.version)
        raise Problem(500, "Model failed", f"{served.name} could not answer") from error
    metrics.ROWS.labels(served.name, served.version).inc(len(records))
    head = f'{{"id":"{uuid.uuid4()}","model":"{served.name}","version":"{served.version}"'
    body = head.encode() + b',"predictions":' + served.answers.dump_json(told) + b"}"
    return Response(body, media_type="application/json")


async def _records(served: Served, request: Request, settings: Settings) -> list[Record]:
    """The records of a JSON or multipart body, validated."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return [await _form(served, request, settings)]
        if kind != "application/json":
            raise Problem(
                415,
                "Unsupported content type",
                f"Content-Type must be application/json or multipart/form-data, got {kind!r}",
            )
        body = await _body(request, settings.body_bytes)
        if body.lstrip()[:1] != b"[":
            return [served.one.validate_json(body)]
        records = served.many.validate_json(body)
    except ValidationError as error:
        raise refused(error) from error
    if not 1 <= len(records) <= settings.batch_rows:
        raise Problem(
            422,
            "Invalid input",
            f"a batch must hold 1 to {settings.batch_rows} records, got {len(records)}",
        )
    return records


async def _body(request: Request, limit: int) -> bytes:
    """The body, refused as soon as it is over `limit` bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise Problem(413, "Body too large", f"the body must be at most {limit} bytes")
        parts.append(part)
    return b"".join(parts)


async def _form(served: Served, request: Request, settings: Settings) -> Record:
    """A record from a form: files fill `bytes` fields, and empty texts mean unknown."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise Problem(411, "Length required", "a multipart body needs a Content-Length")
    if int(length) > settings.body_bytes:
        raise Problem(
            413, "Body too large", f"the body must be at most {settings.body_bytes} bytes"
        )
    values: dict[str, Any] = {}
    try:
        async with request.form(max_files=10, max_fields=500) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    values[name] = await value.read()
                elif value != "":
                    values[name] = value
    except HTTPException as error:
        raise Problem(400, "Malformed form", str(error.detail)) from error
    return served.one.validate_python(values)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def told(_: Request, problem: Problem) -> JSONResponse:
        return problem.response()

    @app.exception_handler(HTTPException)
    async def routed(_: Request, error: HTTPException) -> JSONResponse:
        return Problem(error.status_code, str(error.detail), str(error.detail)).response()

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem(500, "Internal error", "the server failed; its log says why").response()
