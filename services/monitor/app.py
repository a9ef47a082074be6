"""The monitor over HTTP: pages, figures as JSON, reports, metrics."""

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.monitor import history, pages, publishing, webhook
from services.monitor.check import Check
from services.monitor.guard import Guard
from services.monitor.rounds import Busy, Monitor, NotServed, run
from services.monitor.settings import Settings
from services.predict.problem import MEDIA_TYPE, Problem
from slipway.access.scopes import Scope as KeyScope

log = logging.getLogger("slipway.monitor")

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
# Evidently's page is its own viewer and its data in one file. It may run its script, apart from
# this origin, and reach nothing.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": PAGE_POLICY,
}

Name = Annotated[str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]


def create(settings: Settings, guard: Guard) -> FastAPI:
    """The application; its rounds run from its start to its end."""
    monitor = Monitor(settings)
    stopping = threading.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = threading.Thread(target=run, args=(monitor, stopping), name="rounds", daemon=True)
        thread.start()
        yield
        stopping.set()
        # A check that goes on is not waited for: nothing that it leaves can be half.
        thread.join(5)

    app = FastAPI(
        title="Slipway monitor",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(_SecurityHeaders)
    app.state.monitor = monitor
    _add_health(app, monitor, guard)
    _add_pages(app, monitor, guard)
    _add_projects(app, monitor, guard)
    _add_error_handlers(app)
    return app


class _SecurityHeaders:
    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.inner(scope, receive, sealed)


def _add_health(app: FastAPI, monitor: Monitor, guard: Guard) -> None:
    @app.get("/v1/live")
    async def live() -> dict[str, bool]:
        """Whether the process answers."""
        return {"live": True}

    @app.get("/v1/ready")
    async def ready() -> dict[str, Any]:
        """Whether it works: 503 until the registry was asked. The first round takes longer, as
        it reads what there is of the log."""
        catalogue = monitor.catalogue
        if not catalogue.asked:
            raise Problem(503, "Not ready", "the registry was not asked yet")
        return {
            "ready": True,
            "projects": len(catalogue.champions),
            "last_round": monitor.last_round or None,
            "registry": "reached" if catalogue.reachable else f"away: {catalogue.fault}",
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    def exposition(request: Request) -> Response:
        """For Prometheus."""
        guard.admit(request, KeyScope.METRICS)
        return Response(publishing.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_pages(app: FastAPI, monitor: Monitor, guard: Guard) -> None:
    @app.get("/", response_class=HTMLResponse)
    def overview(request: Request) -> str:
        guard.admit(request, KeyScope.METRICS)
        return pages.overview(monitor)

    @app.get("/projects/{name}", response_class=HTMLResponse)
    def project(name: Name, request: Request) -> str:
        guard.admit(request, KeyScope.METRICS)
        _known(monitor, name)
        return pages.project(monitor, name)


def _add_projects(app: FastAPI, monitor: Monitor, guard: Guard) -> None:
    @app.get("/v1/projects")
    def projects(request: Request) -> dict[str, Any]:
        """Every champion with its state."""
        guard.admit(request, KeyScope.METRICS)
        names = list(monitor.catalogue.champions)
        return {
            "projects": [_told(monitor, name) for name in names],
            "registry": "reached" if monitor.catalogue.reachable else "away",
            "last_round": monitor.last_round or None,
        }

    @app.get("/v1/projects/{name}/drift")
    def drift(
        name: Name, request: Request, limit: Annotated[int, Query(ge=0, le=1000)] = 20
    ) -> JSONResponse:
        """What was found last, whole, and before that in short."""
        guard.admit(request, KeyScope.METRICS)
        _known(monitor, name)
        latest = monitor.latest.get(name)
        past = monitor.history.checks(name, limit=limit)
        return JSONResponse(
            {
                **_told(monitor, name),
                "latest": _whole(latest) if latest else None,
                "history": [history.summary(check) for check in past],
            }
        )

    @app.post("/v1/projects/{name}/check")
    def check(name: Name, request: Request) -> JSONResponse:
        """Look at the project now; what was found."""
        guard.admit(request, KeyScope.ADMIN)
        try:
            return JSONResponse(_whole(monitor.check(name)))
        except NotServed:
            raise _unknown(monitor, name) from None
        except Busy:
            told = "a round goes on; ask again, or see what it found"
            raise Problem(503, "Busy", told, retry_seconds=30) from None

    @app.get("/v1/projects/{name}/reports")
    def reports(name: Name, request: Request) -> dict[str, list[str]]:
        """The ids of the reports that are kept, the newest first."""
        guard.admit(request, KeyScope.METRICS)
        _known(monitor, name)
        return {"reports": monitor.reports.ids(name)}

    @app.get("/v1/projects/{name}/reports/{id}", response_class=HTMLResponse)
    def report(name: Name, id: str, request: Request) -> Response:
        """Evidently's page."""
        guard.admit(request, KeyScope.METRICS)
        try:
            packed = monitor.reports.read(name, id)
        except FileNotFoundError:
            known = ", ".join(monitor.reports.ids(name)) or "none"
            raise Problem(
                404, "No such report", f"{id[:60]!r} is not kept; kept: {known}"
            ) from None
        headers = {"content-security-policy": REPORT_POLICY, "content-encoding": "gzip"}
        return Response(packed, media_type="text/html; charset=utf-8", headers=headers)


def _known(monitor: Monitor, name: str) -> None:
    """Raises Problem: no champion bears the name, and nothing was found of one before."""
    if name not in monitor.catalogue.champions:
        raise _unknown(monitor, name)


def _unknown(monitor: Monitor, name: str) -> Problem:
    known = ", ".join(monitor.catalogue.champions) or "none"
    return Problem(404, "No such project", f"no champion is called {name!r}; watched: {known}")


def _told(monitor: Monitor, name: str) -> dict[str, Any]:
    """The trainer's schedule reads `name` and `alarms`."""
    check = monitor.latest.get(name)
    standing = monitor.alarms(name)
    version = monitor.catalogue.champions.get(name)
    return {
        "name": name,
        "version": version.version if version else None,
        "state": pages.state_of(check)[1] if check else "not looked at yet",
        "checked": check.time if check else None,
        "alarms": [
            {
                "name": webhook.NAMES[each.alarm],
                "since": webhook.moment(each.started),
                "action": webhook.ACTION,
                "told": each.summary,
            }
            for each in standing
        ],
        "drift_alarm": any(each.alarm == "drift" for each in standing),
        "performance_alarm": any(each.alarm == "performance" for each in standing),
    }


def _whole(check: Check) -> dict[str, Any]:
    told = check.model_dump(mode="json")
    for window, each in zip(told["windows"], check.windows, strict=True):
        window["drifted"] = [field.field for field in each.drifted]
    return {
        **told,
        "drift_alarm": check.drift_alarm,
        "performance_alarm": check.performance_alarm,
    }


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def told(_: Request, problem: Problem) -> Response:
        return _response(problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        faults = [(".".join(map(str, each["loc"][1:])), each["msg"]) for each in error.errors()]
        return _response(
            Problem(422, "Invalid input", "; ".join(f"{place}: {said}" for place, said in faults))
        )

    @app.exception_handler(HTTPException)
    async def routed(_: Request, error: HTTPException) -> Response:
        return _response(Problem(error.status_code, str(error.detail), str(error.detail)))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return _response(Problem(500, "Internal error", "the monitor failed; its log says why"))


def _response(problem: Problem) -> Response:
    return Response(
        problem.body(),
        problem.status,
        headers={**HEADERS, **problem.headers()},
        media_type=MEDIA_TYPE,
    )
