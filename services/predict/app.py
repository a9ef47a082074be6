"""The ASGI application: the prediction paths go straight to their code, the rest to FastAPI."""

import asyncio
import contextlib
import logging
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
from fastapi import FastAPI
from starlette.datastructures import State
from starlette.types import Message, Receive, Scope, Send

from services.predict import metrics, pages
from services.predict.endpoint import FAILED, Predict, reply_problem
from services.predict.fleet import Fleet
from services.predict.handover import LISTEN, inherited
from services.predict.oip.http import Infer
from services.predict.readiness import LOADED, Readiness
from services.predict.recording import Recorder
from services.predict.settings import Settings
from services.predict.watch import Watch, page
from services.web.guard import Guard
from slipway.access.scopes import Scope as KeyScope

log = logging.getLogger("slipway.predict")

PREDICT = re.compile(r"/v1/models/([^/]+)/predict")
INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
# Whether the process runs: answered at any time.
LIVE = frozenset({"/v1/live", "/v2/health/live"})
READY = frozenset({"/v1/ready", "/v2/health/ready"})
TURN_SECONDS = 0.25
WAIT_SECONDS = 0.02

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class App:
    """What a server runs. `state` holds the fleet, for whoever embeds it."""

    def __init__(
        self, settings: Settings, *, beat: int | None = None, readiness: Readiness | None = None
    ) -> None:
        metrics.begin()
        self.settings = settings
        self.readiness = readiness or Readiness()
        self.fleet = Fleet(settings, self.readiness)
        self.fleet.before_ready = self._open_grpc
        self.guard = Guard(
            settings,
            closed=[KeyScope.ADMIN],
            on_refusal=lambda reason: metrics.REFUSED.labels(reason).inc(),
        )
        self.recorder = Recorder(settings)
        self.watch = Watch(settings.inline_seconds, page(beat))
        self.predict = Predict(self.fleet, self.guard, self.recorder, self.watch, settings)
        self.infer = Infer(self.predict)
        self.state = State({"fleet": self.fleet, "settings": settings})
        self.rest: FastAPI = pages.create(self)
        self._tasks: list[asyncio.Task[None]] = []
        self._keeper: subprocess.Popen[bytes] | None = None
        self._grpc: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
            return
        if kind != "http":
            return
        if not self.fleet.preloaded and scope["path"] not in LIVE:
            await self._let_load(known=scope["path"] in READY)
        if scope["method"] == "POST":
            path: str = scope["path"]
            name = self.fleet.paths.get(path)
            if name is None and (found := PREDICT.fullmatch(path)):
                name = found[1]
            if name is not None:
                await self._guarded(self.predict(name, scope, receive, send), send)
                return
            if found := INFER.fullmatch(path):
                await self._guarded(self.infer(found[1], found[2], scope, receive, send), send)
                return
        await self.rest(scope, receive, send)

    async def _let_load(self, *, known: bool) -> None:
        """Wait until this worker has loaded its models, if another worker has.

        With `known` it is enough that it knows which models there are, which takes no loading.

        At the first start several workers accept connections before any has loaded, so that health
        checks are answered; the first to load makes the server ready. A request that came to
        another one waits then, as long as a model may take to load, and is not refused.
        """
        deadline = time.monotonic() + self.settings.load_seconds
        while (
            not self.fleet.preloaded
            and not (known and self.fleet.served)
            and self.readiness.others == LOADED
            and time.monotonic() < deadline
        ):
            await asyncio.sleep(WAIT_SECONDS)

    async def _guarded(self, answering: Awaitable[None], send: Send) -> None:
        """No fault of ours ends a connection without an answer, or shows its insides."""
        try:
            await answering
        except Exception:
            log.exception("a request failed")
            with contextlib.suppress(RuntimeError):  # the answer had begun
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
        """Serve from the snapshot, and follow it."""
        self.watch.start()
        self.recorder.start()
        if self.settings.traces:
            from services.predict.tracing import Tracer

            self.predict.tracer = Tracer(self.settings.traces)
        if inherited(LISTEN) is None:
            # Several workers of another server start one each; the lock lets one of them work.
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "services.predict.keeper"], stdin=subprocess.DEVNULL
            )
        self._tasks = [asyncio.create_task(self._turn())]
        await self.fleet.look()
        parts = (self.fleet.follow(), self._measure())
        self._tasks += [asyncio.create_task(part) for part in parts]

    async def _open_grpc(self) -> None:
        """Listen for gRPC once the models are loaded.

        The workers share the port by SO_REUSEPORT, so the kernel hands a connection to any of them
        that listens.
        """
        if self.settings.grpc_port and self._grpc is None:
            from services.predict.oip import grpc

            self._grpc = await grpc.start(self)

    async def stop(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(self.settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await self.predict.finish(5)
        self.count()
        self.fleet.close()
        self.watch.stop()
        await asyncio.to_thread(self.recorder.close)
        if self.predict.tracer:
            await asyncio.to_thread(self.predict.tracer.close)
        if self._keeper:
            self._keeper.terminate()
            await asyncio.to_thread(self._keeper.wait)

    async def _turn(self) -> None:
        """The heartbeat that the supervisor looks for, and the counts."""
        while True:
            self.watch.beat()
            self.count()
            await asyncio.sleep(TURN_SECONDS)

    def count(self) -> None:
        """Bring the metrics of this worker up to date."""
        for served in self.fleet.served.values():
            for unit in served.units.values():
                unit.count()

    async def _measure(self) -> None:
        process = psutil.Process()
        while True:
            metrics.PROCESS_BYTES.set(process.memory_info().rss)
            self.recorder.count()
            self.recorder.watch()
            await asyncio.sleep(1)


def create_app(
    settings: Settings | None = None,
    *,
    beat: int | None = None,
    readiness: Readiness | None = None,
) -> App:
    """The application over what `settings` names; it follows the registry while it runs."""
    return App(settings or Settings.from_environment(), beat=beat, readiness=readiness)


@asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """The application outside of any server, as its lifespan would run it."""
    await app.start()
    try:
        yield
    finally:
        await app.stop()


__all__ = ["App", "Message", "create_app", "running"]
