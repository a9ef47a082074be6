"""Keeps background tasks alive: the event loop itself holds only weak references to them."""

import asyncio
from typing import Any

_tasks: set[asyncio.Future[Any]] = set()


def keep(task: "asyncio.Future[Any]") -> None:
    """Hold a reference to the task until it is done."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
