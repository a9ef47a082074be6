"""Wait for what another thread or process does."""

import time
from collections.abc import Callable

# Generous, since a busy machine may be slow; a condition that holds costs no wait.
PATIENCE = 120.0


def until(
    holds: Callable[[], object],
    message: Callable[[], object] = lambda: "the condition did not hold in time",
    *,
    seconds: float = PATIENCE,
) -> None:
    """Poll the condition; after so many seconds fail with `message`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, message()
        time.sleep(0.02)
