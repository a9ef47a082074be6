"""The ASGI application. Prediction paths go straight to their endpoints, the rest to FastAPI."""

import asyncio
import contextlib
import logging
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import psutil
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from services.predict import (
    administration,
    browser_routes,
    explain_route,
    feedback,
    metrics,
    model_schema,
    oip_http,
    pages,
    prediction_routes,
    scoring,
)
from services.predict.async_predictions import AsyncPredictions
from services.predict.core import Core
from services.predict.endpoint import FAILED, PredictEndpoint, reply_problem
from services.predict.model_store import ModelStore
from services.predict.oip_http import InferEndpoint
from services.predict.predictor import Predictor
from services.predict.readiness import LOADED, Readiness
from services.predict.recording import Recorder
from services.predict.settings import Settings
from services.predict.watch import Watch, page
from services.predict.worker_env import LISTEN, inherited
from services.web import errors
from services.web.bounds import BodyBound
from services.web.cors import CrossOrigin, is_preflight
from services.web.guard import Guard
from services.web.headers import SecurityHeaders
from slipway.access.scopes import Scope as KeyScope

log = logging.getLogger("slipway.predict")

PREDICT = re.compile(r"/v1/models/([^/]+)/predict")
INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
# Labels and policies; the label of a picture's record may be a mask.
SMALL_BODY_BYTES = 2**20
LARGE_BODIES = re.compile(r"/v1/models/[^/]+/(explain|jobs)")
# Liveness probes get a response at any time.
LIVE = frozenset({"/v1/live", "/v2/health/live"})
READY = frozenset({"/v1/ready", "/v2/health/ready"})
BEAT_SECONDS = 0.25
WAIT_SECONDS = 0.02

# The page runs no script but Swagger's own file and the few lines that FastAPI writes into it.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)


class App:
    """The application of one worker. `core` holds its parts, for whoever embeds it."""

    def __init__(
        self, settings: Settings, *, beat: int | None = None, readiness: Readiness | None = None
    ) -> None:
        metrics.initialize_worker()
        self.settings = settings
        self.readiness = readiness or Readiness()
        self.models = ModelStore(settings, self.readiness)
        self.models.before_ready = self._open_grpc
        self.watch = Watch(settings.inline_seconds, page(beat))
        guard = Guard(
            settings,
            closed=[KeyScope.ADMIN],
            on_refusal=lambda reason: metrics.REFUSED.labels(reason).inc(),
        )
        self.recorder = Recorder(settings)
        self.predictor = Predictor(self.models, guard, self.recorder, self.watch, settings)
        self.later = AsyncPredictions(self.predictor, settings.folder / "predictions")
        self.core = Core(settings, self.models, guard, self.recorder, self.predictor, self.later)
        self.cross_origin = CrossOrigin(settings.origins)
        self.predict = PredictEndpoint(self.predictor, self.later)
        self.infer = InferEndpoint(self.core)
        self.rest = _rest(self.core)
        self._tasks: list[asyncio.Task[None]] = []
        self._registry_sync: subprocess.Popen[bytes] | None = None
        self._grpc: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
            return
        if kind != "http":
            return
        if self.cross_origin:
            headers = dict(scope["headers"])
            if (origin := headers.get(b"origin")) is not None:
                if is_preflight(scope["method"], headers):
                    await self.cross_origin.answer_preflight(headers, send)
                    return
                send = self.cross_origin.wrap(send, origin)
        await self._respond(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.models.preloaded and scope["path"] not in LIVE:
            await self._wait_for_models(listed=scope["path"] in READY)
        if scope["method"] == "POST":
            path: str = scope["path"]
            name = self.models.paths.get(path)
            if name is None and (match := PREDICT.fullmatch(path)):
                name = match[1]
            if name is not None:
                await self._guarded(self.predict(name, scope, receive, send), send)
                return
            if match := INFER.fullmatch(path):
                await self._guarded(self.infer(match[1], match[2], scope, receive, send), send)
                return
        await self.rest(scope, receive, send)

    async def _wait_for_models(self, *, listed: bool) -> None:
        """Wait until this worker has loaded its models, if another worker has.

        With `listed`, wait only until it knows which models there are, which takes no loading.

        At the first start several workers accept connections before any has loaded, so that health
        checks get a response; the first to load makes the server ready. A request that reaches
        another worker then waits, as long as a model may take to load, instead of being refused.
        """
        deadline = time.monotonic() + self.settings.load_seconds
        while (
            not self.models.preloaded
            and not (listed and self.models.served)
            and self.readiness.others == LOADED
            and time.monotonic() < deadline
        ):
            await asyncio.sleep(WAIT_SECONDS)

    async def _guarded(self, response: Awaitable[None], send: Send) -> None:
        """Reply 500 without details when the server's own code fails."""
        try:
            await response
        except Exception:
            log.exception("a request failed")
            with contextlib.suppress(RuntimeError):  # the response had begun
                await reply_problem(send, FAILED)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:
            log.exception("the server cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Start to serve from the snapshot and to follow it."""
        self.watch.start()
        self.recorder.start()
        if self.settings.traces:
            from services.predict.tracing import Tracer

            self.predictor.tracer = Tracer(self.settings.traces)
        if inherited(LISTEN) is None:
            # Without a supervisor each worker starts one; a lock lets only one of them work.
            self._registry_sync = subprocess.Popen(
                [sys.executable, "-m", "services.predict.registry_sync"], stdin=subprocess.DEVNULL
            )
        self._tasks = [asyncio.create_task(self._beat())]
        await self.models.apply_latest()
        loops = (self.models.follow(), self._measure(), self.later.follow())
        self._tasks += [asyncio.create_task(loop) for loop in loops]

    async def _open_grpc(self) -> None:
        """Listen for gRPC once the models are loaded.

        The workers share the port by SO_REUSEPORT, so the kernel hands a connection to any worker
        that listens.
        """
        if self.settings.grpc_port and self._grpc is None:
            from services.predict import oip_grpc

            self._grpc = await oip_grpc.start(self.core)

    async def stop(self) -> None:
        """Stop everything that `start` started."""
        if self._grpc is not None:
            await self._grpc.stop(self.settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await self.later.drain(self.settings.drain_seconds)
        await self.predictor.mirroring.drain(5)
        self.models.update_metrics()
        self.models.close()
        self.watch.stop()
        await asyncio.to_thread(self.recorder.close)
        if self.predictor.tracer:
            await asyncio.to_thread(self.predictor.tracer.close)
        if self._registry_sync:
            self._registry_sync.terminate()
            await asyncio.to_thread(self._registry_sync.wait)

    async def _beat(self) -> None:
        """Beat the heart that the supervisor watches, and update the metrics."""
        while True:
            self.watch.beat()
            self.models.update_metrics()
            await asyncio.sleep(BEAT_SECONDS)

    async def _measure(self) -> None:
        process = psutil.Process()
        while True:
            metrics.PROCESS_BYTES.set(process.memory_info().rss)
            self.recorder.update_metrics()
            self.recorder.log_faults()
            await asyncio.sleep(1)


def _rest(core: Core) -> FastAPI:
    """Return the routes beside the prediction paths."""
    routers = (
        *(pages, model_schema, explain_route, prediction_routes, feedback, administration),
        *(scoring, oip_http, browser_routes),
    )
    rest = FastAPI(
        title="Slipway model server",
        version="1",
        description="Every model that is champion in the registry, behind a typed endpoint.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # Not `include_router`, which hides the paths of `routes` from those who look at them.
        routes=[route for module in routers for route in module.router(core).routes],
    )
    rest.add_middleware(BodyBound, body_bytes=SMALL_BODY_BYTES, except_paths=LARGE_BODIES)
    rest.add_middleware(SecurityHeaders, policies={"/docs": DOCS_POLICY})
    errors.add_handlers(rest, service="predict")
    return rest


def create_app(
    settings: Settings | None = None,
    *,
    beat: int | None = None,
    readiness: Readiness | None = None,
) -> App:
    """Return the application for these settings, or for those of the environment."""
    return App(settings or Settings.from_environment(), beat=beat, readiness=readiness)


@asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """Start the application, and stop it at the end, outside of any ASGI server."""
    await app.start()
    try:
        yield
    finally:
        await app.stop()
