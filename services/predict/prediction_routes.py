"""Routes for asynchronous predictions, and for the record of any prediction."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from services.predict.async_predictions import UnknownResult, owner_of
from services.predict.core import Core
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.predictions import reader
from slipway.predictions.ids import NotLogged


def router(core: Core) -> APIRouter:
    """Return the routes of this module."""
    api = APIRouter(tags=["predictions"])
    store = core.later.store

    def owner(request: Request) -> str:
        core.admit(request, Scope.PREDICT)
        return owner_of(dict(request.scope["headers"]))

    @api.get("/v1/predictions/{id}")
    async def prediction(id: UUID, request: Request) -> Response:
        """Return the state of an asynchronous prediction, and its result once it has ended."""
        caller = owner(request)
        try:
            result = await run_in_threadpool(store.read, id, caller)
        except UnknownResult:
            raise _unknown(id) from None
        if result is None:
            return JSONResponse(
                {"id": str(id), "state": "running", "url": request.url.path},
                headers={"Retry-After": "1"},
            )
        return Response(result, media_type="application/json")

    @api.delete("/v1/predictions/{id}", status_code=204)
    async def cancel(id: UUID, request: Request) -> Response:
        """Stop an asynchronous prediction that runs, or delete its result."""
        caller = owner(request)
        try:
            await run_in_threadpool(store.delete, id, caller)
        except UnknownResult:
            raise _unknown(id) from None
        return Response(status_code=204)

    @api.get("/v1/records/{id}")
    async def record(id: UUID, request: Request) -> dict[str, Any]:
        """Return what is on record of a prediction, by the id in its response."""
        core.admit(request, Scope.ADMIN)
        try:
            found = await run_in_threadpool(reader.find, core.settings.records, str(id))
        except NotLogged as error:
            raise Problem(404, "Prediction not on record", str(error)) from None
        if found is None:
            message = (
                f"no prediction {id} in the log: the id was never given, its record was dropped, "
                f"or it is older than the {core.settings.log_days:g} days that records are kept"
            )
            raise Problem(404, "Unknown prediction", message)
        return found

    return api


def _unknown(id: UUID) -> Problem:
    message = (
        f"no asynchronous prediction {id} for this caller: results are kept for 15 minutes; "
        "GET /v1/records/{id} has the record of any prediction"
    )
    return Problem(404, "Unknown prediction", message)
