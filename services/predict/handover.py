"""What the supervisor hands a worker, each by a variable: descriptors, and who it is itself."""

import os

LISTEN = "SLIPWAY_WORKER_LISTEN"
"""The listening socket."""
BEAT = "SLIPWAY_WORKER_BEAT"
"""The page for the heartbeat."""
READY = "SLIPWAY_WORKER_READY"
"""A pipe, for one byte as soon as models are there to answer."""
STATES = "SLIPWAY_WORKER_STATES"
"""The page by which workers tell each other whether they have loaded their models."""
SLOT = "SLIPWAY_WORKER_SLOT"
"""The number of this worker's byte in that page."""
PARENT = "SLIPWAY_WORKER_PARENT"
"""The supervisor's process number; in a container it is 1, as that of whoever takes up orphans."""


def inherited(variable: str) -> int | None:
    """The number in it; None in a process that no supervisor started."""
    value = os.environ.get(variable)
    return int(value) if value else None
