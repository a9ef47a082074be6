"""Runs a service: reads settings, checks keys, configures logs, serves until stopped."""

import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import uvicorn

from services.settings import Settings
from services.web import logs
from services.web.bounded_protocol import BoundedProtocol
from services.web.guard import Unguarded, ensure_guarded
from services.web.server import BoundedServer, limits_of, raise_open_files
from slipway import home
from slipway.access.scopes import Scope

STOP_SECONDS = 5
Own = TypeVar("Own", bound=Settings)


def serve(
    service: str,
    settings: type[Own],
    *,
    scope: Scope,
    create: Callable[[Own], Any],
    refusals: tuple[type[Exception], ...] = (),
) -> int:
    """Serve on the service's port; return 1 if it cannot start, with the reason on stderr.

    Args:
        scope: the scope that most of its callers need.
        create: creates the application.
        refusals: exceptions of `create` that are reported as the reason.
    """
    expected: tuple[type[Exception], ...] = (ValueError, OSError, Unguarded, *refusals)
    try:
        loaded = settings.from_environment()
        port = home.port(service)
        ensure_guarded(loaded, scope)
        logs.configure(loaded)
        app = create(loaded)
    except expected as error:
        print(f"{service}: {error}", file=sys.stderr)
        return 1
    logging.getLogger(f"slipway.{service}").info("listening on %s:%d", loaded.host, port)
    raise_open_files()
    BoundedProtocol.limits = limits_of(loaded)
    config = uvicorn.Config(
        app,
        host=loaded.host,
        port=port,
        http=BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = BoundedServer(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 1
