"""A Uvicorn server that holds its connections to the limits of `services.web.bounded_protocol`."""

import asyncio
import resource
from collections.abc import Iterable

import uvicorn

from services.settings import Settings
from services.web.bounded_protocol import BoundedProtocol, Limits
from slipway import home

SWEEP_SECONDS = 5.0
# Uvicorn's own rhythm.
TICK_SECONDS = 0.1


# Files, pipes and sockets besides the connections of callers.
OTHER_FILES = 512
MOST_FILES = 65_536


def limits_of(settings: Settings, *, origins: Iterable[str] = ()) -> Limits:
    """Return the limits that the settings state, within the files that this process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = settings.connections
    if files != resource.RLIM_INFINITY:
        connections = min(connections, max(files - OTHER_FILES, files // 2))
    return Limits(
        connections=connections,
        client_connections=settings.client_connections,
        slow_seconds=settings.slow_seconds,
        any_host=settings.require_keys or not home.on_loopback(settings.host),
        hosts=frozenset(settings.hosts),
        origins=frozenset(each.encode() for each in origins),
    )


def raise_open_files() -> None:
    """Raise the soft limit of open files, which is 1,024 on many machines, as far as permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class BoundedServer(uvicorn.Server):
    """Closes slow and idle connections periodically."""

    async def on_tick(self, counter: int) -> bool:
        seconds = min(SWEEP_SECONDS, BoundedProtocol.limits.slow_seconds / 2)
        if counter % max(1, round(seconds / TICK_SECONDS)) == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.sweep(now)
        return await super().on_tick(counter)
