"""Errors as problem details (RFC 9457): what fell short, and in which field."""

from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import ValidationError

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is an error; `title` and `detail` are for the caller."""

    def __init__(
        self, status: int, title: str, detail: str, *, errors: Sequence[dict[str, Any]] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.errors = status, title, detail, list(errors)

    def response(self) -> JSONResponse:
        body: dict[str, Any] = {"title": self.title, "status": self.status, "detail": self.detail}
        if self.errors:
            body["errors"] = self.errors
        headers = {"Retry-After": "5"} if self.status == 503 else None
        return JSONResponse(body, self.status, headers, media_type=MEDIA_TYPE)


def refused(error: ValidationError) -> Problem:
    """A body that is JSON but no valid record; each fault with its field."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return Problem(400, "Malformed JSON", faults[0]["msg"])
    told = [
        {"field": ".".join(str(part) for part in fault["loc"]) or "body", "message": fault["msg"]}
        for fault in faults[:20]
    ]
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in told[:3])
    return Problem(422, "Invalid input", detail, errors=told)
