"""API keys in the document, so that pages offer to enter one and clients know how to send it."""

from typing import Any

from services.predict.openapi.refusals import WITHOUT_KEYS
from services.predict.openapi.schemas import Components

SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key: `slipway keys create NAME --scope predict`",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
ANY_SCHEME: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]
ADMINISTRATION = ("/v1/admin", "/v1/records")


def add(components: Components) -> None:
    """Add the ways in which a request can carry its key."""
    components.content["securitySchemes"] = SCHEMES


def require(path: str, operation: dict[str, Any], *, keys_required: bool) -> None:
    """Describe whether the operation needs a key: always, only if all do, or never."""
    if path in WITHOUT_KEYS:
        return
    always = keys_required or path.startswith(ADMINISTRATION)
    operation["security"] = ANY_SCHEME if always else [{}, *ANY_SCHEME]
