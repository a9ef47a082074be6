"""What the supervisor hands a worker: descriptors, each named by a variable."""

import os

LISTEN = "SLIPWAY_WORKER_LISTEN"
"""The listening socket."""
BEAT = "SLIPWAY_WORKER_BEAT"
"""The page for the heartbeat."""
READY = "SLIPWAY_WORKER_READY"
"""A pipe, for one byte as soon as models are there to answer."""


def inherited(variable: str) -> int | None:
    """The descriptor; None in a process that no supervisor started."""
    value = os.environ.get(variable)
    return int(value) if value else None
