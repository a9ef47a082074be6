"""A clock that a test sets."""

import time


class ManualClock:
    """Returns the time in `now`, at first the present Unix time."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now
