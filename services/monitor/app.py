"""HTTP application of the monitor: pages, checks as JSON, reports and metrics."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from services.monitor import history, pages, publishing, webhook
from services.monitor.check import Check
from services.monitor.rounds import Monitor, NotServed, RoundRunning, run
from services.monitor.settings import Settings
from services.web import errors
from services.web.guard import Guard
from services.web.headers import SecurityHeaders
from services.web.problem import Problem
from slipway.access.scopes import Scope as KeyScope

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
# Evidently's page is one file with viewer and data. It may run its script in an origin of its own
# and make no request.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; frame-ancestors 'none'"
)

Name = Annotated[str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]


def create(settings: Settings) -> FastAPI:
    """Return the application, which runs the monitor's rounds while it serves."""
    monitor, guard = Monitor(settings), Guard(settings)
    stopping = threading.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = threading.Thread(target=run, args=(monitor, stopping), name="rounds", daemon=True)
        thread.start()
        yield
        stopping.set()
        # A running check is not waited for: all its writes are atomic.
        thread.join(5)

    app = FastAPI(
        title="Slipway monitor",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(SecurityHeaders, policy=PAGE_POLICY)
    app.state.monitor = monitor
    _add_health(app, monitor, guard)
    _add_pages(app, monitor, guard)
    _add_projects(app, monitor, guard)
    errors.add_handlers(app, service="monitor")
    return app


def _add_health(app: FastAPI, monitor: Monitor, guard: Guard) -> None:
    @app.get("/v1/live")
    async def live() -> dict[str, bool]:
        """Return that the process responds."""
        return {"live": True}

    @app.get("/v1/ready")
    async def ready() -> dict[str, Any]:
        """Return 503 until the registry was queried once.

        The first round takes longer, since it reads the existing log.
        """
        catalogue = monitor.catalogue
        if not catalogue.queried:
            raise Problem(503, "Not ready", "the registry was not queried yet")
        return {
            "ready": True,
            "projects": len(catalogue.champions),
            "last_round": monitor.last_round or None,
            "registry": "reached" if catalogue.reachable else f"away: {catalogue.fault}",
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    def exposition(request: Request) -> Response:
        """Return the metrics for Prometheus."""
        guard.admit(dict(request.scope["headers"]), KeyScope.METRICS)
        return Response(publishing.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_pages(app: FastAPI, monitor: Monitor, guard: Guard) -> None:
    @app.get("/", response_class=HTMLResponse)
    def overview(request: Request) -> str:
        guard.admit(dict(request.scope["headers"]), KeyScope.METRICS)
        return pages.overview(monitor)

    @app.get("/projects/{name}", response_class=HTMLResponse)
    def project(name: Name, request: Request) -> str:
        guard.admit(dict(request.scope["headers"]), KeyScope.METRICS)
        _known(monitor, name)
        return pages.project(monitor, name)


def _add_projects(app: FastAPI, monitor: Monitor, guard: Guard) -> None:
    @app.get("/v1/projects")
    def projects(request: Request) -> dict[str, Any]:
        """Return every champion with its state."""
        guard.admit(dict(request.scope["headers"]), KeyScope.METRICS)
        names = list(monitor.catalogue.champions)
        return {
            "projects": [_status(monitor, name) for name in names],
            "registry": "reached" if monitor.catalogue.reachable else "away",
            "last_round": monitor.last_round or None,
        }

    @app.get("/v1/projects/{name}/drift")
    def drift(
        name: Name, request: Request, limit: Annotated[int, Query(ge=0, le=1000)] = 20
    ) -> JSONResponse:
        """Return the last check in full and earlier checks as summaries."""
        guard.admit(dict(request.scope["headers"]), KeyScope.METRICS)
        _known(monitor, name)
        latest = monitor.latest.get(name)
        past = monitor.history.checks(name, limit=limit)
        return JSONResponse(
            {
                **_status(monitor, name),
                "latest": _full_check(latest) if latest else None,
                "history": [history.summary(check) for check in past],
            }
        )

    @app.post("/v1/projects/{name}/check")
    def check(name: Name, request: Request) -> JSONResponse:
        """Check the project now and return the result."""
        guard.admit(dict(request.scope["headers"]), KeyScope.ADMIN)
        try:
            return JSONResponse(_full_check(monitor.check(name)))
        except NotServed:
            raise _unknown(monitor, name) from None
        except RoundRunning:
            detail = "a round is running; retry later, or read its results"
            raise Problem(503, "Busy", detail, retry_seconds=30) from None

    @app.get("/v1/projects/{name}/reports")
    def reports(name: Name, request: Request) -> dict[str, list[str]]:
        """Return the ids of the reports that are kept, newest first."""
        guard.admit(dict(request.scope["headers"]), KeyScope.METRICS)
        _known(monitor, name)
        return {"reports": monitor.reports.ids(name)}

    @app.get("/v1/projects/{name}/reports/{id}", response_class=HTMLResponse)
    def report(name: Name, id: str, request: Request) -> Response:
        """Return a report, Evidently's page."""
        guard.admit(dict(request.scope["headers"]), KeyScope.METRICS)
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
    """Raise Problem if no champion has the name."""
    if name not in monitor.catalogue.champions:
        raise _unknown(monitor, name)


def _unknown(monitor: Monitor, name: str) -> Problem:
    known = ", ".join(monitor.catalogue.champions) or "none"
    return Problem(404, "No such project", f"no champion is called {name!r}; watched: {known}")


def _status(monitor: Monitor, name: str) -> dict[str, Any]:
    """Return the state and alarms of a project."""
    check = monitor.latest.get(name)
    alarms = monitor.alarms(name)
    version = monitor.catalogue.champions.get(name)
    return {
        "name": name,
        "version": version.version if version else None,
        "state": pages.state_of(check)[1] if check else "not checked yet",
        "checked": check.time if check else None,
        "alarms": [
            {
                "name": webhook.NAMES[each.alarm],
                "since": webhook.moment(each.started),
                "action": webhook.ACTION,
                "summary": each.summary,
            }
            for each in alarms
        ],
        "drift_alarm": any(each.alarm == "drift" for each in alarms),
        "performance_alarm": any(each.alarm == "performance" for each in alarms),
    }


def _full_check(check: Check) -> dict[str, Any]:
    body = check.model_dump(mode="json")
    for window, each in zip(body["windows"], check.windows, strict=True):
        window["drifted"] = [field.field for field in each.drifted]
    return {
        **body,
        "drift_alarm": check.drift_alarm,
        "performance_alarm": check.performance_alarm,
    }
