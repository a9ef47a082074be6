"""Error responses as problem details (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 1000
REPORTED_FAULTS = 10
HEAD = {
    "content-type": MEDIA_TYPE,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Problem(Exception):
    """An error response; the caller sees `title` and `detail`."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(status, title, detail)
        self.status, self.title, self.detail, self.errors = status, title, detail, list(errors)
        self.retry_seconds = 1.0 if retry_seconds is None and status == 503 else retry_seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.status, self.title, self.detail, self.errors, self.retry_seconds)

    def body(self) -> bytes:
        content: dict[str, Any] = {
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = self.errors
        return to_json(content)

    def whole_response(self, *, close: bool = False) -> bytes:
        """Return the HTTP response, head and body, of a protocol that goes around ASGI."""
        body = self.body()
        head = HEAD | self.headers() | {"content-length": str(len(body))}
        if close:
            head["connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        phrase = HTTPStatus(self.status).phrase
        return f"HTTP/1.1 {self.status} {phrase}\r\n{lines}\r\n".encode() + body

    def headers(self) -> dict[str, str]:
        """Return the headers besides the content type: retry time and authentication scheme."""
        headers = {}
        if self.retry_seconds is not None:
            headers["retry-after"] = str(max(1, round(self.retry_seconds + 0.5)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


def _restored(*parts: Any) -> Problem:
    status, title, detail, errors, retry_seconds = parts
    return Problem(status, title, detail, errors=errors, retry_seconds=retry_seconds)


def refused(error: ValidationError) -> Problem:
    """Return the error response for a body that is not a valid record, naming each field."""
    if error.error_count() > MOST_FAULTS:
        # Listing them all would take more memory than the body.
        return Problem(422, "Invalid input", f"the body has {error.error_count()} faults")
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return Problem(400, "Malformed JSON", faults[0]["msg"])
    return invalid_input([(fault["loc"], fault["msg"]) for fault in faults])


def invalid_input(faults: Sequence[tuple[tuple[Any, ...], str]]) -> Problem:
    """Return the error response for invalid fields.

    Args:
        faults: the location of each, from the outermost field to the innermost, and a message.
    """
    errors = [
        {"field": ".".join(map(str, place)) or "body", "message": message}
        for place, message in faults[:REPORTED_FAULTS]
    ]
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in errors[:3])
    return Problem(422, "Invalid input", detail, errors=errors)


def response(problem: Problem) -> Response:
    return Response(
        problem.body(), problem.status, headers=problem.headers(), media_type=MEDIA_TYPE
    )
