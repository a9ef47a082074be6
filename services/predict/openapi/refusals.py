"""Error responses: problem details, and the errors of the Open Inference Protocol."""

from typing import Any

from services.predict.openapi.schemas import Components
from services.web.problem import MEDIA_TYPE

PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/FieldError"},
            "description": "With status 422: the invalid fields",
        },
    },
}
FIELD_ERROR = {
    "type": "object",
    "required": ["field", "message"],
    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
}
TEXTS = {
    "400": "The body is malformed",
    "401": "An API key is needed, or the one sent is not valid",
    "403": "The key does not have the scope",
    "404": "There is no such model, job or prediction",
    "406": "The model has no answer of the accepted kind",
    "408": "The body arrived too slowly",
    "409": "The state does not permit it",
    "411": "A form needs a Content-Length",
    "413": "The body is too large",
    "415": "The content type is none of those described here",
    "422": "A field is missing, unknown or out of range",
    "429": "The key's rate is exceeded; retry after the seconds in Retry-After",
    "500": "The model or the server failed",
    "502": "Written to the registry, but not in effect here",
    "503": "Not ready, or too many requests wait; retry after the seconds in Retry-After",
    "504": "The model took too long",
    "507": "The server's disk is full",
}
KEYS = ("401", "403", "429")
PREDICTION = ("400", *KEYS, "406", "408", "411", "413", "415", "422", "500", "503", "504", "507")
UPLOAD = ("413", "503", "507")
ADMINISTRATION = ("422", "502", "503")
WITHOUT_KEYS = ("/v1/live", "/v1/ready", "/v2", "/v2/health/live", "/v2/health/ready")


def add(components: Components) -> None:
    """Add the schemas that all error responses share."""
    components.add("Problem", PROBLEM)
    components.add("FieldError", FIELD_ERROR)


def responses(*statuses: str) -> dict[str, Any]:
    """Return the error responses for these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": TEXTS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted(set(statuses))
    }


def describe(path: str, operation: dict[str, Any]) -> None:
    """Replace FastAPI's description of errors by what the route really sends."""
    described = operation.setdefault("responses", {})
    described.pop("422", None)
    if path.startswith("/v2"):
        return
    described.update(responses(*_statuses(path, operation)))


def _statuses(path: str, operation: dict[str, Any]) -> set[str]:
    if path in WITHOUT_KEYS:
        return {"503"} if path == "/v1/ready" else set()
    statuses = {*KEYS}
    parameters = {each["name"] for each in operation.get("parameters", ())}
    if parameters & {"name", "id"} or "/feedback" in path:
        statuses.add("404")
    if "requestBody" in operation or parameters - {"name", "id"}:
        statuses |= {"400", "422"} if "requestBody" in operation else {"422"}
    if "/{name}" in path or "/feedback" in path:
        statuses.add("503")
    if path.endswith("/jobs") and "name" in parameters:
        statuses.update(UPLOAD)
    if path.endswith("/result"):
        statuses.add("409")
    if path.startswith("/v1/admin"):
        statuses.update(ADMINISTRATION)
    return statuses
