"""The trainer's HTTP API."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST

from services.jobs.kind import Ended, QueueFull, UnknownJob
from services.trainer import metrics
from services.trainer.measure import measure
from services.trainer.overrides import BadParameters
from services.trainer.run import Request, Run, RunState
from services.trainer.settings import Settings
from services.trainer.trainer import Trainer, UnknownProject
from services.trainer.webhook import Notification
from services.web import errors
from services.web.bounds import BodyBound
from services.web.guard import Guard, Refusal, named
from services.web.headers import SecurityHeaders
from services.web.problem import Problem, response
from services.zero_init import initialize_series
from slipway.access import audit
from slipway.access.scopes import Scope

log = logging.getLogger("slipway.trainer")

FOLLOW_SECONDS = 0.25
QUEUE = "queue"
"""The reason label of a request that was refused because the queue is full."""
BLOCK = 2**16
# How long a request to cancel waits for the processes to end before it returns 202.
CANCEL_SECONDS = 20.0

Limit = Annotated[int, Query(ge=1, le=1000)]


def create(settings: Settings, trainer: Trainer) -> FastAPI:
    """Return the application; the trainer runs from its start to its end."""
    guard = Guard(settings, on_refusal=lambda reason: metrics.REFUSED.labels(reason).inc())
    initialize_series(metrics.REFUSED, (*Refusal, QUEUE))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        trainer.start()
        yield
        trainer.stop()

    app = FastAPI(
        title="Slipway trainer",
        version="1",
        description="Training runs on request, and on alerts.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(BodyBound, body_bytes=settings.body_bytes)
    app.add_middleware(SecurityHeaders)

    def caller(request: HttpRequest) -> str:
        return _authorize(guard, request, Scope.TRAIN)

    def scraper(request: HttpRequest) -> str:
        return _authorize(guard, request, Scope.METRICS)

    _add_health(app, trainer, scraper)
    _add_runs(app, trainer, caller)
    _add_alerts(app, trainer, caller)
    _add_error_handlers(app)
    return app


def _authorize(guard: Guard, request: HttpRequest, scope: Scope) -> str:
    """Return the caller's name.

    Raises:
        Problem: the caller has no valid key of the scope.
    """
    return named(guard.admit(dict(request.scope["headers"]), scope))


def _add_health(app: FastAPI, trainer: Trainer, scraper: Any) -> None:
    @app.get("/", include_in_schema=False)
    def start() -> RedirectResponse:
        """Show the runs to those who open the trainer's address."""
        return RedirectResponse("/v1/runs")

    @app.get("/v1/live", tags=["health"])
    def live() -> dict[str, bool]:
        """Liveness: the process responds."""
        return {"live": True}

    @app.get("/v1/ready", tags=["health"])
    def ready() -> dict[str, Any]:
        """Readiness: runs are started. Also how many are queued and running."""
        if not trainer.turning:
            raise Problem(503, "Not ready", "the thread that starts runs has ended")
        journal = trainer.journal
        return {
            "ready": True,
            "queued": len(journal.waiting()),
            "running": len(journal.running()),
            "automatic": trainer.settings.automatic,
        }

    @app.get("/metrics", tags=["health"], dependencies=[Depends(scraper)])
    def exposition() -> Response:
        """Metrics in Prometheus' text format."""
        measure(trainer)
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_runs(app: FastAPI, trainer: Trainer, caller: Any) -> None:
    Caller = Annotated[str, Depends(caller)]

    @app.post("/v1/runs", status_code=202, tags=["runs"])
    def start(request: Request, actor: Caller) -> JSONResponse:
        """Queue a run of a project, with other parameters if the request has some."""
        run = _submit(trainer, request, actor)
        detail = request.model_dump(mode="json", exclude={"project"})
        _record(actor, "runs.start", request.project, {**detail, "run": run.id}, "queued")
        headers = {"location": f"/v1/runs/{run.id}"}
        return JSONResponse(view(trainer, run), 202, headers=headers)

    @app.get("/v1/runs", tags=["runs"])
    def runs(
        _: Caller, project: str | None = None, state: RunState | None = None, limit: Limit = 50
    ) -> dict[str, Any]:
        """Runs, newest first."""
        found = [
            run
            for run in reversed(list(trainer.journal.runs.values()))
            if project in (None, run.request.project) and state in (None, run.state)
        ]
        return {"runs": [view(trainer, run) for run in found[:limit]], "found": len(found)}

    @app.get("/v1/runs/{id}", tags=["runs"])
    def run(id: str, _: Caller) -> dict[str, Any]:
        """One run: its request, progress and outcome."""
        return view(trainer, _find_run(trainer, id))

    @app.get("/v1/runs/{id}/logs", tags=["runs"], response_class=PlainTextResponse)
    def logs(id: str, _: Caller, follow: bool = False) -> StreamingResponse:
        """The run's log; with `follow` also the lines to come, until the run ends."""
        run = _find_run(trainer, id)
        return StreamingResponse(lines(trainer, run.id, follow), media_type="text/plain")

    @app.delete("/v1/runs/{id}", tags=["runs"])
    def cancel(id: str, actor: Caller) -> JSONResponse:
        """Cancel a run: 200 when its processes have ended, 202 while they are ending."""
        try:
            run = trainer.cancel(id, actor=actor)
        except UnknownJob as error:
            raise Problem(404, "Unknown run", str(error)) from None
        except Ended as error:
            raise Problem(409, "Run has ended", str(error)) from None
        _record(actor, "runs.cancel", run.request.project, {"run": id}, "asked")
        deadline = time.monotonic() + CANCEL_SECONDS
        while not (run := trainer.get(id)).state.ended and time.monotonic() < deadline:
            time.sleep(0.05)
        if run.state not in (RunState.CANCELLED, RunState.RUNNING):
            raise Problem(409, "Run has ended", f"run {id} {run.state} before it was cancelled")
        return JSONResponse(view(trainer, run), 200 if run.state.ended else 202)


def _add_alerts(app: FastAPI, trainer: Trainer, caller: Any) -> None:
    @app.post("/v1/alerts", tags=["alerts"], dependencies=[Depends(caller)])
    def alerts(notification: Notification) -> dict[str, Any]:
        """Alertmanager's webhook: alerts labelled `project` and `action="retrain"` start runs."""
        decisions = [trainer.consider(alarm) for alarm in notification.alarms()]
        return {"decisions": [each.model_dump(mode="json") for each in decisions]}

    @app.get("/v1/decisions", tags=["alerts"], dependencies=[Depends(caller)])
    def decisions(project: str | None = None, limit: Limit = 50) -> dict[str, Any]:
        """List the decisions on alerts with their reasons, newest first."""
        found = [
            each.model_dump(mode="json")
            for each in reversed(trainer.journal.decisions)
            if project in (None, each.alarm.project)
        ]
        return {"decisions": found[:limit], "found": len(found)}


def view(trainer: Trainer, run: Run) -> dict[str, Any]:
    """Return a run as JSON for callers."""
    progress, outcome = trainer.progress(run), run.outcome
    return {
        "id": run.id,
        "project": run.request.project,
        "state": run.state,
        "cancelling": run.cancelled_by is not None and not run.state.ended,
        "trigger": run.trigger,
        "actor": run.actor,
        "reason": run.request.reason,
        "parameters": run.request.parameters.model_dump(),
        "requested": run.requested,
        "started": run.started,
        "ended": run.ended,
        "attempt": run.attempt,
        "stage": progress.stage if run.attempt else None,
        "progress": progress.share,
        "stages_done": list(progress.done),
        "stages_cached": list(progress.cached),
        "commit": progress.commit,
        "feedback": progress.feedback,
        "outcome": outcome.reason if outcome else None,
        "mlflow_run": outcome.mlflow_run if outcome else None,
        "version": outcome.version if outcome else None,
        "new_version": outcome.new if outcome else None,
        "promotion": outcome.promotion.model_dump() if outcome and outcome.promotion else None,
        "rollout": outcome.rollout if outcome else None,
        "kept": outcome.kept if outcome else None,
        "logs": f"/v1/runs/{run.id}/logs",
    }


async def lines(trainer: Trainer, id: str, follow: bool) -> AsyncIterator[bytes]:
    """Yield the log's bytes; the last block is read after the run has ended, so none is missed.

    It runs on the event loop: a thread for each follower would leave none for other requests.
    """
    file, offset = trainer.folder(id).log, 0
    while True:
        over = trainer.get(id).state.ended or not follow
        while block := _block(file, offset):
            offset += len(block)
            yield block
        if over:
            return
        await asyncio.sleep(FOLLOW_SECONDS)


def _block(file: Path, offset: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(BLOCK)
    except FileNotFoundError:
        return b""


def _submit(trainer: Trainer, request: Request, actor: str) -> Run:
    """Queue the run.

    Raises:
        Problem: the request cannot be met.
    """
    try:
        return trainer.submit(request, actor=actor)
    except UnknownProject as error:
        fault = {"field": "project", "message": str(error)}
        raise Problem(422, "Unknown project", str(error), errors=[fault]) from None
    except BadParameters as error:
        faults = [
            {"field": f"parameters.{field}", "message": fault}
            for field, fault in error.faults.items()
        ]
        raise Problem(422, "Bad parameters", str(error), errors=faults) from None
    except ValueError as error:
        raise Problem(409, "Project is malformed", str(error)) from None
    except QueueFull as error:
        metrics.REFUSED.labels(QUEUE).inc()
        raise Problem(503, "Queue full", str(error), retry_seconds=60) from None


def _find_run(trainer: Trainer, id: str) -> Run:
    """Return the run.

    Raises:
        Problem: there is none with this id.
    """
    try:
        return trainer.get(id)
    except UnknownJob as error:
        raise Problem(404, "Unknown run", str(error)) from None


def _record(actor: str, action: str, target: str, detail: dict[str, Any], outcome: str) -> None:
    audit.record(actor=actor, action=action, target=target, detail=detail, outcome=outcome)


def _add_error_handlers(app: FastAPI) -> None:
    errors.add_handlers(app, service="trainer")

    @app.exception_handler(OSError)
    def disk_error(request: HttpRequest, error: OSError) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = "the trainer's disk is unavailable or full; nothing was changed, send it again"
        return response(Problem(503, "Disk away", detail, retry_seconds=30))
