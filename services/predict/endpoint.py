"""POST /v1/models/{name}/predict: JSON, a form or media in; JSON, a stream or media out.

JSON in and out takes as few steps as it can.

Measured on one core with a small model: uvicorn itself takes 31 of about 110 microseconds.
FastAPI's routing and validation alone would take 100 more, so this path goes around it.
"""

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive, Scope, Send

from services.predict import body as bodies
from services.predict import metrics, routing
from services.predict.async_predictions import AsyncPredictions, prefers_async
from services.predict.form import form_to_json, media_to_json
from services.predict.form_fields import no_single_field
from services.predict.loaded_model import LoadedModel
from services.predict.model_store import ServedProject
from services.predict.negotiation import (
    AS_JSON,
    ResponseFormat,
    Style,
    choose_format,
    is_plain,
    raw_media,
)
from services.predict.payload import json_payload
from services.predict.predictor import Headers, Prediction, Predictor
from services.predict.recording import trace_id
from services.predict.streaming import prediction_events, send_events
from services.web import logs
from services.web.problem import MEDIA_TYPE, Problem

SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())
# A response on the event loop is that of a quick model.
OK = b"HTTP/1.1 200 OK\r\n%b: %b\r\nslipway-pace: quick\r\n" % JSON
OK += b"".join(b"%b: %b\r\n" % each for each in SECURITY) + b"content-length: %d\r\n\r\n"
APPLIED = (b"preference-applied", b"respond-async")
FAILED = Problem(500, "Internal error", "the server failed; its log says why")
# Content types of raw bodies that stand for a record's single field of bytes.
MEDIA = (b"image/", b"audio/", b"video/", b"model/")
DOCUMENTS = frozenset({b"application/pdf", b"application/octet-stream"})


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


class RecordsRequest:
    """JSON records, or a form or raw media that stand for a record."""

    __slots__ = ("_body", "_predictor", "_receive", "_scope", "_was_read", "format", "headers")

    def __init__(
        self,
        predictor: Predictor,
        scope: Scope,
        receive: Receive,
        headers: Headers,
        format: ResponseFormat = AS_JSON,
    ) -> None:
        self._predictor, self._scope, self._receive = predictor, scope, receive
        self.headers, self.format = headers, format
        self._body: bytes
        self._was_read = asyncio.Event()

    async def read(self, served: ServedProject) -> None:
        """Read the body; a form or raw media becomes the JSON record that it stands for.

        Raises:
            Problem: the body has another content type, is too large or damaged, or the model has
                no response that the caller accepts.
            Disconnected: the caller went away.
        """
        if self.format.refusal:
            raise self.format.refusal
        headers, limit = self.headers, self._predictor.settings.body_bytes
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind == b"application/json":
            self._body = await bodies.read(self._receive, headers, limit)
        elif kind == b"multipart/form-data":
            fields = served.champion.form_fields
            self._body = await form_to_json(self._scope, self._receive, headers, limit, fields)
        elif kind.startswith(MEDIA) or kind in DOCUMENTS:
            self._body = await self._read_media(served, limit)
        else:
            message = (
                "Content-Type must be application/json, multipart/form-data or that of a picture, "
                f"sound, video or document, got {kind.decode('latin-1')!r}"
            )
            raise Problem(415, "Unsupported content type", message)
        self._was_read.set()

    async def _read_media(self, served: ServedProject, limit: int) -> bytes:
        fields = served.champion.form_fields
        if fields.media is None:
            raise no_single_field(served.name)
        media = await bodies.read(self._receive, self.headers, limit)
        return await media_to_json(media, fields.media, self._scope["query_string"], fields)

    def choose(self, served: ServedProject) -> LoadedModel:
        return routing.choose(served, self.headers, self._body)

    def columns(self, model: LoadedModel) -> None:
        return None

    def records(self, model: LoadedModel) -> Awaitable[bytes]:
        return self._predictor.lookups.fill(model, self._body)

    def recorded(self) -> bytes:
        return self._body

    async def disconnected(self) -> None:
        await self._was_read.wait()
        await bodies.disconnected(self._receive)


class PredictEndpoint:
    """The typed endpoint: reads requests and writes responses; the predictor does the rest."""

    def __init__(self, predictor: Predictor, later: AsyncPredictions) -> None:
        self.predictor, self.later = predictor, later

    def respond_inline(self, name: str, headers: Headers, body: bytes) -> bytes | None:
        """Return the whole HTTP response, when it can be given without waiting for anything.

        Returns None, before anything is counted, when `__call__` has to respond.
        """
        if headers.get(b"content-type") != b"application/json" or b"content-encoding" in headers:
            return None
        if b"origin" in headers and self.predictor.settings.origins:
            return None  # `App` adds the headers for pages of other origins
        if not is_plain(headers):
            return None
        try:
            prediction = self.predictor.predict_inline(name, headers, body)
        except Problem as problem:
            return problem.whole_response()
        if prediction is None:
            return None
        payload = json_payload(prediction)
        return OK % len(payload) + payload

    async def __call__(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        logs.trace.set(trace_id(headers.get(b"traceparent")) or "")
        request = RecordsRequest(self.predictor, scope, receive, headers)
        if not is_plain(headers) or scope["query_string"]:
            served = self.predictor.models.served.get(name)
            if served is not None:
                accept, query = headers.get(b"accept", b""), scope["query_string"]
                profile = served.champion.version.profile
                request.format = choose_format(name, accept, query, profile)
        try:
            await self._respond(name, request, send)
        except Problem as problem:
            await reply_problem(send, problem)
        except bodies.Disconnected:
            metrics.REFUSED.labels(metrics.DISCONNECTED).inc()

    async def _respond(self, name: str, request: RecordsRequest, send: Send) -> None:
        predictor, style = self.predictor, request.format.style
        if style is Style.EVENTS:
            events = prediction_events(predictor.stream(name, request))
            slow_seconds = predictor.settings.slow_seconds
            await send_events(events, request.disconnected(), send, slow_seconds)
        elif style is Style.MEDIA:
            prediction = await predictor.predict(name, request)
            kind, media = await asyncio.to_thread(raw_media, prediction, request.format.accepted)
            await reply(send, 200, (b"content-type", kind.encode()), media, *_about(prediction))
        elif prefers_async(request.headers):
            started = await self.later.start(name, request)
            place = (b"location", started.url.encode())
            await reply(send, 202, JSON, started.body, place, APPLIED)
        else:
            prediction = await predictor.predict(name, request)
            await reply(send, 200, JSON, json_payload(prediction), prediction[0].pace)


def _about(prediction: Prediction) -> list[tuple[bytes, bytes]]:
    """Return as headers what a JSON response says beside its predictions."""
    model, _, identifier = prediction
    about = {
        b"slipway-id": identifier,
        b"slipway-model": model.name,
        b"slipway-version": model.version.version,
        b"slipway-variant": model.variant,
    }
    return [model.pace, *((name, value.encode()) for name, value in about.items())]
