"""What a FastAPI application answers when something falls short: problem details, no stack."""

import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from services.web.headers import SECURITY
from services.web.problem import Problem, invalid, response


def add_handlers(app: FastAPI, *, service: str) -> None:
    """service: who failed, for people; also the last part of its logger's name."""
    log = logging.getLogger(f"slipway.{service}")

    @app.exception_handler(Problem)
    async def told(_: Request, problem: Problem) -> Response:
        return response(problem)

    @app.exception_handler(RequestValidationError)
    async def refused(_: Request, error: RequestValidationError) -> Response:
        return response(invalid(_inside(error.errors())))

    @app.exception_handler(HTTPException)
    async def routed(_: Request, error: HTTPException) -> Response:
        answer = response(Problem(error.status_code, str(error.detail), str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        answer = response(Problem(500, "Internal error", f"{service} failed; its log says why"))
        # Starlette answers this outside of every middleware, so also of that for headers.
        answer.headers.update(SECURITY)
        return answer


def _inside(faults: Iterable[Any]) -> list[tuple[tuple[Any, ...], str]]:
    """FastAPI names in front of each place whether it is in the body, the path or the query."""
    return [(tuple(fault["loc"][1:]), fault["msg"]) for fault in faults]
