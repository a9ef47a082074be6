"""Environment variables by which the supervisor passes descriptors and ids to a worker."""

import os

LISTEN = "SLIPWAY_WORKER_LISTEN"
"""Descriptor of the listening socket."""
BEAT = "SLIPWAY_WORKER_BEAT"
"""Descriptor of the shared page for the heartbeat."""
READY = "SLIPWAY_WORKER_READY"
"""Descriptor of a pipe; the worker writes one byte once its models are loaded."""
STATES = "SLIPWAY_WORKER_STATES"
"""Descriptor of the shared page with one readiness byte per worker."""
SLOT = "SLIPWAY_WORKER_SLOT"
"""Index of this worker's byte in that page."""
PARENT = "SLIPWAY_WORKER_PARENT"
"""The supervisor's process id; in a container it is 1, like that of the init process."""


def inherited(variable: str) -> int | None:
    """Return the number in the variable; None in a process that no supervisor started."""
    value = os.environ.get(variable)
    return int(value) if value else None
