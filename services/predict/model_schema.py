"""GET /v1/models/{name}/schema: all that a form for a model is made from, without its code."""

from typing import Any

from fastapi import APIRouter, Request

from services.predict.core import Core
from services.predict.model_store import ServedProject
from slipway.access.scopes import Scope
from slipway.contract.shipped import Shipped
from slipway.programs import browser_runtime


def router(core: Core) -> APIRouter:
    """Return the route of this module."""
    api = APIRouter(tags=["models"])

    @api.get("/v1/models/{name}/schema")
    async def schema(name: str, request: Request) -> dict[str, Any]:
        """Return the JSON schemas of a model's record, prediction and chunks, with examples."""
        core.admit(request, Scope.PREDICT)
        return describe(core.predictor.project(name))

    return api


def describe(served: ServedProject) -> dict[str, Any]:
    """Return the champion's schemas, examples and abilities, and the paths that use them."""
    version = served.champion.version
    profile, place = version.profile, f"/v1/models/{served.name}"
    links = {action: f"{place}/{action}" for action in ("predict", "card", "jobs")}
    if profile.explains:
        links["explain"] = f"{place}/explain"
    browser = profile.browser if browser_runtime.installed() else None
    if browser:
        links["graph"] = f"{place}/graph"
        links["runtime"] = f"/site/onnxruntime/{browser_runtime.VERSION}/"
    return {
        "name": served.name,
        "version": version.version,
        "question": profile.question,
        "input": profile.input_schema,
        "output": profile.output_schema,
        "chunk": profile.chunk_schema,
        "streams": profile.streams,
        "explains": profile.explains,
        "latency_seconds": max(profile.latency_seconds, profile.one_seconds),
        "browser": browser.model_dump() if browser else None,
        "examples": Shipped(version.folder).examples,
        "links": {"self": f"{place}/schema", "model": place, **links, "feedback": "/v1/feedback"},
    }
