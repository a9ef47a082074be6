"""Errors, all of them derived from `SlipwayError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SlipwayError(Exception):
    """Any error of this package."""


class FieldError(SlipwayError, ValueError):
    """Raised before a request when a record has a field that the model does not have.

    The message names the field and suggests another.
    """


class Unreachable(SlipwayError):
    """Raised when no server responds at the address."""


class StreamBroken(SlipwayError):
    """Raised when a stream ends without its prediction."""


class TimedOut(SlipwayError, TimeoutError):
    """Raised when a task is still running after the time to wait; the task goes on."""


class Canceled(SlipwayError):
    """Raised when the result of a canceled task is requested."""


class Refused(SlipwayError):
    """Raised when the server responds with an error, as problem details (RFC 9457)."""

    def __init__(
        self, status: int, title: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status, self.title, self.detail = status, title, detail
        self.errors = list(errors)
        """With status 422, the invalid fields: `{"field": ..., "message": ...}`."""


class InvalidInput(Refused):
    """A field is invalid, or the body is malformed."""


class NotPermitted(Refused):
    """The API key is missing, not valid, or lacks the scope."""


class NotFound(Refused):
    """There is no such model, task or prediction."""


class Busy(Refused):
    """The server is busy or the key's rate is exceeded, also after all retries."""


KINDS: dict[int, type[Refused]] = {
    400: InvalidInput,
    401: NotPermitted,
    403: NotPermitted,
    404: NotFound,
    422: InvalidInput,
    429: Busy,
    503: Busy,
}


def refusal(status: int, problem: Any) -> Refused:
    """Return the error for a response; `problem` is its JSON, or any text."""
    fields = problem if isinstance(problem, dict) else {}
    title = str(fields.get("title") or f"the server responded with status {status}")
    detail = str(fields.get("detail") or "")
    return KINDS.get(status, Refused)(status, title, detail, fields.get("errors") or ())
