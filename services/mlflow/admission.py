"""Admits requests to MLflow by API key, and logs those that change the registry."""

import base64
import binascii
import logging
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.guard import Guard, named
from services.web.problem import Problem, response
from slipway.access.scopes import Scope as KeyScope

log = logging.getLogger("slipway.mlflow")

# Probes have no key, and the response is the same for every caller.
OPEN = frozenset({"/health", "/version"})
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# MLflow's pages and clients search with POST.
SEARCH = re.compile(r"/(ajax-)?api/\d\.\d/mlflow/[a-z-]+/search")
REGISTRY = re.compile(r"/(ajax-)?api/\d\.\d/mlflow/(registered-models|model-versions)/.+")
BASIC = b"basic "
# Browsers show their own dialog for a user and a password.
CHALLENGE = 'Basic realm="MLflow: any user, an API key as the password"'


class Admission:
    """Middleware that admits a key of scope `registry`, and for reading one of `registry-read`.

    The key is sent as a bearer token ($MLFLOW_TRACKING_TOKEN), as X-API-Key, or as the password of
    Basic authentication ($MLFLOW_TRACKING_PASSWORD, and browsers), with any user name.
    """

    def __init__(self, inner: ASGIApp, guard: Guard) -> None:
        self.inner, self.guard = inner, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.inner(scope, receive, send)
            return
        try:
            caller = self._admit(scope)
        except Problem as problem:
            refusal = response(problem)
            if problem.status == 401:
                # A header of its own: Chromium reads only the first challenge of each.
                refusal.headers.append("www-authenticate", CHALLENGE)
            # The rest of a body that nobody reads must not become the next request.
            refusal.headers["connection"] = "close"
            await refusal(scope, receive, send)
            return
        if is_read(scope["method"], scope["path"]) or not REGISTRY.fullmatch(scope["path"]):
            await self.inner(scope, receive, send)
            return

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                what = f"{scope['method']} {scope['path']}: {message['status']}"
                log.info(what, extra={"caller": caller})
            await send(message)

        await self.inner(scope, receive, send_and_log)

    def _admit(self, scope: Scope) -> str:
        """Return who calls. Raises Problem: 401, 403 or 429."""
        headers = with_basic_as_bearer(dict(scope["headers"]))
        enough = [KeyScope.REGISTRY]
        if is_read(scope["method"], scope["path"]):
            enough.insert(0, KeyScope.REGISTRY_READ)
        return named(self.guard.admit(headers, *enough))


def is_read(method: str, path: str) -> bool:
    """Return whether the request changes nothing."""
    return method in READ_METHODS or bool(SEARCH.fullmatch(path))


def with_basic_as_bearer(headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the headers with the password of Basic authentication as the bearer token."""
    given = headers.get(b"authorization", b"")
    if given[: len(BASIC)].lower() != BASIC:
        return headers
    try:
        decoded = base64.b64decode(given[len(BASIC) :].strip(), validate=True)
    except binascii.Error:
        decoded = b""
    return {**headers, b"authorization": decoded.partition(b":")[2]}
