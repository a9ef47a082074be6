"""Error handlers of a FastAPI application: problem details, without a stack trace."""

import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.web.headers import SECURITY
from services.web.problem import Problem, invalid_input, response


def add_handlers(app: FastAPI, *, service: str) -> None:
    """Add the error handlers.

    Args:
        service: its name, for the error message and for the logger.
    """
    log = logging.getLogger(f"slipway.{service}")

    @app.exception_handler(Problem)
    async def handle_problem(_: Request, problem: Problem) -> Response:
        return response(problem)

    @app.exception_handler(RequestValidationError)
    async def handle_invalid_request(_: Request, error: RequestValidationError) -> Response:
        return response(invalid_input(_without_source(error.errors())))

    @app.exception_handler(HTTPException)
    async def handle_http_exception(_: Request, error: HTTPException) -> Response:
        result = response(Problem(error.status_code, str(error.detail), str(error.detail)))
        result.headers.update(error.headers or {})
        return result

    @app.exception_handler(ClientDisconnect)
    async def handle_client_disconnect(_: Request, __: ClientDisconnect) -> Response:
        """Nobody reads this response; without it a traceback would be logged."""
        return Response(status_code=499)

    @app.exception_handler(Exception)
    async def handle_exception(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        result = response(Problem(500, "Internal error", f"{service} failed; see its log"))
        # Starlette sends this outside of all middleware, so also outside of SecurityHeaders.
        result.headers.update(SECURITY)
        return result


def _without_source(faults: Iterable[Any]) -> list[tuple[tuple[Any, ...], str]]:
    """Drop the first part of each location, where FastAPI names the body, path or query."""
    return [(tuple(fault["loc"][1:]), fault["msg"]) for fault in faults]
