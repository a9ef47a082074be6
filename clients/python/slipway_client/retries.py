"""When a request is repeated, and after how long."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

# Too many requests, and not ready or too many waiting: nothing was run.
REPEATED = frozenset({429, 503})


@dataclass(frozen=True)
class Retries:
    """Requests are repeated when the server says that it is busy, or accepts no connection."""

    count: int = 4
    """The number of repetitions of a request; 0 turns them off."""
    first_seconds: float = 0.25
    """The wait before the first repetition; it doubles each time, with a random part."""
    most_seconds: float = 30.0
    """The longest wait, also if the server asks for a longer one: then the error is raised."""

    def wait(self, attempt: int, status: int | None, headers: Mapping[str, str]) -> float | None:
        """Return the seconds to wait before the next attempt; None if there is to be none.

        Args:
            attempt: how many attempts were made.
            status: of the response; None if no connection was made.
        """
        if attempt > self.count or (status is not None and status not in REPEATED):
            return None
        backoff = self.first_seconds * 2.0 ** (attempt - 1)
        # Without the random part, clients that were refused together would return together.
        own = min(self.most_seconds, backoff * random.uniform(0.5, 1.5))
        stated = _seconds(headers.get("retry-after"))
        if stated is None:
            return own
        return None if stated > self.most_seconds else max(stated, own)


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:  # a date, which Slipway never sends
        return None
