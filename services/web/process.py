"""A service as a process: settings, keys, logs, then answers until it is told to stop."""

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import uvicorn

from services.settings import Settings
from services.web import logs
from services.web.guard import Unguarded, ensure_guarded
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
    """Answer at the service's port; 1 if it cannot start, with the reason on the standard error.

    Args:
        scope: of the key that most of its callers need.
        create: makes the application; what it raises of `refusals` is such a reason.
    """
    expected: tuple[type[Exception], ...] = (ValueError, OSError, Unguarded, *refusals)
    try:
        told = settings.from_environment()
        port = home.port(service)
        ensure_guarded(told, scope)
        logs.configure(told)
        app = create(told)
    except expected as error:
        print(f"{service}: {error}", file=sys.stderr)
        return 1
    logging.getLogger(f"slipway.{service}").info("listening on %s:%d", told.host, port)
    uvicorn.run(
        app,
        host=told.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return 0
