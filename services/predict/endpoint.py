"""POST /v1/models/{name}/predict: JSON or a form in, JSON out, in as few steps as it can.

Measured on one core with a small model: uvicorn itself takes 31 of about 110 microseconds.
FastAPI's routing and validation alone would take 100 more, so this path goes around it.
"""

from collections.abc import Awaitable
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from services.predict import body as bodies
from services.predict import metrics, routing
from services.predict.form import form_to_json
from services.predict.loaded_model import LoadedModel
from services.predict.model_store import ServedProject
from services.predict.predictor import Headers, Prediction, Predictor
from services.predict.recording import trace_id
from services.web import logs
from services.web.problem import MEDIA_TYPE, Problem

SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())
OK = b"HTTP/1.1 200 OK\r\n%b: %b\r\n" % JSON
OK += b"".join(b"%b: %b\r\n" % each for each in SECURITY) + b"content-length: %d\r\n\r\n"
FAILED = Problem(500, "Internal error", "the server failed; its log says why")


def problem_bytes(problem: Problem) -> bytes:
    """Return the whole HTTP response, head and body."""
    body = problem.body()
    more = "".join(f"{name}: {value}\r\n" for name, value in problem.headers().items())
    phrase = HTTPStatus(problem.status).phrase
    head = f"HTTP/1.1 {problem.status} {phrase}\r\n{more}content-length: {len(body)}\r\n"
    lines = b"".join(b"%b: %b\r\n" % each for each in (PROBLEM, *SECURITY))
    return head.encode() + lines + b"\r\n" + body


async def reply(
    send: Send, status: int, kind: tuple[bytes, bytes], body: bytes, *more: tuple[bytes, bytes]
) -> None:
    """Send a response; `kind` is its content type, `more` are further headers."""
    head = (kind, (b"content-length", b"%d" % len(body)), *SECURITY, *more)
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def reply_problem(send: Send, problem: Problem) -> None:
    """Send the problem as a response of its own media type."""
    more = [(key.encode(), value.encode()) for key, value in problem.headers().items()]
    await reply(send, problem.status, PROBLEM, problem.body(), *more)


def _payload(prediction: Prediction) -> bytes:
    model, response, identifier = prediction
    return b'{"id":"%b%b%b}' % (identifier.encode(), model.payload_middle, response.predictions)


class RecordsRequest:
    """A JSON record or list of records, or a form with files that stands for a record."""

    __slots__ = ("_body", "_predictor", "_receive", "_scope", "headers")

    def __init__(
        self, predictor: Predictor, scope: Scope, receive: Receive, headers: Headers
    ) -> None:
        self._predictor, self._scope, self._receive = predictor, scope, receive
        self.headers = headers
        self._body: bytes

    async def read(self, served: ServedProject) -> None:
        """Read the body; a form becomes the JSON record that it stands for.

        Raises:
            Problem: the body has another content type, is too large or damaged.
            Disconnected: the caller went away.
        """
        headers, limit = self.headers, self._predictor.settings.body_bytes
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind == b"application/json":
            self._body = await bodies.read(self._receive, headers, limit)
        elif kind == b"multipart/form-data":
            self._body = await form_to_json(self._scope, self._receive, headers, limit)
        else:
            shown = kind.decode("latin-1")
            message = f"Content-Type must be application/json or multipart/form-data, got {shown!r}"
            raise Problem(415, "Unsupported content type", message)

    def choose(self, served: ServedProject) -> LoadedModel:
        return routing.choose(served, self.headers, self._body)

    def columns(self, model: LoadedModel) -> None:
        return None

    def records(self, model: LoadedModel) -> Awaitable[bytes]:
        return self._predictor.lookups.fill(model, self._body)

    def recorded(self) -> bytes:
        return self._body


class PredictEndpoint:
    """The typed endpoint: reads requests and writes responses; the predictor does the rest."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def respond_inline(self, name: str, headers: Headers, body: bytes) -> bytes | None:
        """Return the whole HTTP response, when it can be given without waiting for anything.

        Returns None, before anything is counted, when `__call__` has to respond.
        """
        if headers.get(b"content-type") != b"application/json" or b"content-encoding" in headers:
            return None
        if b"origin" in headers and self.predictor.settings.origins:
            return None  # `App` adds the headers for pages of other origins
        try:
            prediction = self.predictor.predict_inline(name, headers, body)
        except Problem as problem:
            return problem_bytes(problem)
        if prediction is None:
            return None
        payload = _payload(prediction)
        return OK % len(payload) + payload

    async def __call__(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        logs.trace.set(trace_id(headers.get(b"traceparent")) or "")
        try:
            request = RecordsRequest(self.predictor, scope, receive, headers)
            prediction = await self.predictor.predict(name, request)
        except Problem as problem:
            await reply_problem(send, problem)
        except bodies.Disconnected:
            metrics.REFUSED.labels(metrics.DISCONNECTED).inc()
        else:
            await reply(send, 200, JSON, _payload(prediction))
