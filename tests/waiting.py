"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

# A machine with other work is slow, by how much nobody knows. What holds is not waited for.
PATIENCE = 120.0


def until(
    holds: Callable[[], object],
    told: Callable[[], object] = lambda: "it did not come to hold",
    *,
    seconds: float = PATIENCE,
) -> None:
    """Ask again and again; after so many seconds fail with what is `told`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)
