"""The files with which a page runs a model in the visitor's browser."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from services.predict.browser_graph import FILE
from services.predict.core import Core
from services.predict.site_files import FOR_GOOD, TYPES
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.contract.shipped import Shipped
from slipway.programs import browser_runtime

MEDIA_TYPES = {".mjs": TYPES[".js"], ".wasm": "application/wasm"}


def router(core: Core) -> APIRouter:
    """Return the routes of this module."""
    api = APIRouter()

    @api.get("/site/onnxruntime/{version}/{name}", include_in_schema=False)
    async def runtime(version: str, name: str) -> Response:
        if version != browser_runtime.VERSION or name not in browser_runtime.FILES:
            raise Problem(404, "Not found", f"the site has no {name} of ONNX Runtime {version}")
        file = browser_runtime.folder() / name
        try:
            content = await run_in_threadpool(file.read_bytes)
        except FileNotFoundError:
            raise Problem(404, "Not found", "ONNX Runtime for browsers is not installed") from None
        headers = {"cache-control": FOR_GOOD}
        return Response(content, media_type=MEDIA_TYPES[file.suffix], headers=headers)

    @api.get("/v1/models/{name}/graph", tags=["models"], response_class=Response)
    async def graph(name: str, request: Request) -> Response:
        """Return the champion's ONNX file, if a browser can run it without the model's code."""
        core.admit(request, Scope.PREDICT)
        version = core.predictor.project(name).champion.version
        if version.profile.browser is None:
            message = f"{name} does not run in a browser: its own code makes the predictions"
            raise Problem(404, "No graph", message)
        content = await run_in_threadpool((Shipped(version.folder).weights / FILE).read_bytes)
        headers = {"etag": f'"{version.profile.browser.sha256}"', "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="application/octet-stream", headers=headers)

    return api
