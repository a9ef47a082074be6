"""A worker process that serves predictions, started by the supervisor.

The supervisor runs `python -m services.predict.worker`.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from typing import Any

import uvicorn
import uvloop

from services.predict.protocol import FastPath, Protocol
from services.predict.readiness import ACCEPTING, Readiness
from services.predict.settings import Settings
from services.predict.worker_env import BEAT, LISTEN, PARENT, READY, SLOT, STATES, inherited
from services.web import logs
from services.web.bounded_protocol import IDLE_SECONDS, BoundedProtocol
from services.web.server import BoundedServer, limits_of, raise_open_files

log = logging.getLogger("slipway.predict")

WAIT_SECONDS = 0.02


class Server(BoundedServer):
    """A Uvicorn server that starts to accept in coordination with the other workers."""

    def __init__(self, config: uvicorn.Config, readiness: Readiness, models: Any) -> None:
        super().__init__(config)
        self._readiness, self._models = readiness, models

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections once the models are loaded, or earlier if no other worker accepts any.

        The latter is the case at the first start, when some worker must answer health checks.
        """
        if sockets is None:  # without a supervisor, Uvicorn opens the socket itself
            await super().startup()
            return
        await super().startup(sockets=[])
        while (
            not self._models.preloaded
            and self._readiness.others >= ACCEPTING
            and not self.should_exit
        ):
            await asyncio.sleep(WAIT_SECONDS)
        if self.should_exit:
            return
        self._readiness.reach(ACCEPTING)
        loop = asyncio.get_running_loop()
        for each in sockets:
            self.servers.append(
                await loop.create_server(self._connected, sock=each, backlog=self.config.backlog)
            )

    def _connected(self) -> asyncio.Protocol:
        return Protocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    def handle_exit(self, sig: int, frame: Any) -> None:
        Protocol.leaving = True
        self.should_exit = True


async def serve(settings: Settings) -> None:
    """Serve requests until the process is stopped."""
    from services.predict.app import create_app

    readiness = Readiness(inherited(STATES), inherited(SLOT) or 0)
    app = create_app(settings, beat=inherited(BEAT), readiness=readiness)
    BoundedProtocol.limits = limits_of(settings, origins=settings.origins)
    Protocol.fast_path = FastPath(lambda: app.models.raw_paths, app.predict.respond_inline)
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=False,
        # One more than the protocol accepts, which explains its refusals.
        limit_concurrency=settings.connections + 1,
        timeout_keep_alive=int(IDLE_SECONDS),
        timeout_graceful_shutdown=int(settings.drain_seconds) or 1,
    )
    server = Server(config, readiness, app.models)
    descriptor = inherited(LISTEN)
    listening = socket.socket(fileno=descriptor) if descriptor is not None else None
    reporting = asyncio.create_task(_report_ready(app))
    try:
        await server.serve(sockets=[listening] if listening else None)
    finally:
        reporting.cancel()


async def _report_ready(app: Any) -> None:
    """Write one byte to the supervisor's pipe once the models are loaded."""
    descriptor = inherited(READY)
    if descriptor is None:
        return
    while not app.models.preloaded:
        await asyncio.sleep(WAIT_SECONDS)
    os.write(descriptor, b"+")
    os.close(descriptor)


def main() -> None:
    settings = Settings.from_environment()
    logs.configure(settings)
    raise_open_files()
    if sys.platform == "linux":
        _end_with_parent()
    # Objects made at the start live long; a collection that visits them takes milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


def _end_with_parent() -> None:
    """End this worker when its supervisor is killed (prctl, PR_SET_PDEATHSIG)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    # The supervisor may have ended before that call.
    parent = inherited(PARENT)
    if parent is not None and os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    main()
