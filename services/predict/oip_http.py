"""The Open Inference Protocol over HTTP. Errors are what its clients read: `{"error": "..."}`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from services.predict import body as bodies
from services.predict import routing
from services.predict.core import Core
from services.predict.endpoint import JSON, reply
from services.predict.engine import ColumnBatch
from services.predict.loaded_model import LoadedModel
from services.predict.model_store import ServedProject
from services.predict.oip import codec
from services.predict.oip.codec import InferenceRequest
from services.predict.oip.columns import Column, metadata
from services.predict.oip.tensors import ModelTensors
from services.predict.predictor import Headers, Prediction
from services.web.problem import Problem
from slipway.access.scopes import Scope as KeyScope
from slipway.policy import SHADOW

LENGTH = b"inference-header-content-length"
BINARY = (b"content-type", b"application/octet-stream")
# A page of any site may send these without a browser's inquiry.
SIMPLE_TYPES = frozenset(
    {b"text/plain", b"multipart/form-data", b"application/x-www-form-urlencoded"}
)
EXTENSIONS = ["binary_tensor_data"]
SERVER = {"name": "slipway", "version": "2", "extensions": EXTENSIONS}

Decode = Callable[[tuple[Column, ...], int], InferenceRequest]
"""Reads a request, given the model's input columns and the most rows."""

_tensors: WeakKeyDictionary[LoadedModel, ModelTensors] = WeakKeyDictionary()


def tensors_of(model: LoadedModel) -> ModelTensors:
    """Return the tensors of a version; they are worked out once."""
    tensors = _tensors.get(model)
    if tensors is None:
        profile = model.version.profile
        tensors = _tensors[model] = ModelTensors(profile.input_schema, profile.output_schema)
    return tensors


def find_version(served: ServedProject, version: str | None) -> LoadedModel | None:
    """Return the version that the caller named; None if the caller named none.

    Raises:
        Problem: that version is not served.
    """
    if version is None:
        return None
    for model in served.models.values():
        if model.version.version == version and model.variant != SHADOW:
            return model
    raise Problem(
        404, "No such version", f"{served.name} has no version {version!r} that is served"
    )


class TensorRequest:
    """An inference request, over HTTP or gRPC, for `Predictor.predict`."""

    def __init__(
        self,
        core: Core,
        headers: Headers,
        version: str | None,
        decode: Decode,
        sent: bytes,
        disconnected: Callable[[], Awaitable[object]],
    ) -> None:
        """Hold the request of one tensor call.

        Args:
            sent: the request's bytes; the record of a large batch holds their hash.
            disconnected: returns when the caller has gone.
        """
        self.headers, self.disconnected = headers, disconnected
        self._core, self._version, self._decode, self._sent = core, version, decode, sent
        self._named: LoadedModel | None = None
        self._json: bytes | None = None
        self._by_field = False

    async def read(self, served: ServedProject) -> None:
        """Decode the tensors as those of the version that the caller named, or of the champion.

        Raises:
            Problem: the version is not served, or the tensors do not fit it.
        """
        self._named = find_version(served, self._version)
        columns = tensors_of(self._named or served.champion).inputs
        self.inference = self._decode(columns, self._core.settings.batch_rows)

    def choose(self, served: ServedProject) -> LoadedModel:
        # A field of the records decides: they are needed one by one.
        self._by_field = bool(served.policy.challenger and served.policy.key)
        if self._named:
            return self._named
        return routing.choose(served, self.headers, self._as_json() if self._by_field else b"")

    def columns(self, model: LoadedModel) -> ColumnBatch | None:
        engine, inference = model.engine, self.inference
        if self._by_field or engine is None or not engine.predicts_columns:
            return None
        tensors = tensors_of(model)
        whole = (
            inference.records is None
            and not inference.lists
            and len(inference.arrays) == len(tensors.inputs)
            and tensors.bounds.checkable
        )
        if not whole:
            return None
        return ColumnBatch(
            inference.arrays, inference.rows, tensors.bounds.check, tensors.output_names
        )

    async def records(self, model: LoadedModel) -> bytes:
        return self._as_json()

    def recorded(self) -> bytes:
        inference, limit = self.inference, self._core.settings.log_input_bytes
        large = inference.rows * len(inference.arrays) * 8 > limit
        # The record keeps what was sent by its hash only if it is over the limit; 9 KB of UINT8 is
        # small, though its estimate is large, and raw bytes are no JSON.
        return self._sent if large and len(self._sent) > limit else self._as_json()

    def _as_json(self) -> bytes:
        if self._json is None:
            self._json = codec.as_json(self.inference)
        return self._json


class HttpTensorRequest(TensorRequest):
    """A tensor call whose body is read once its caller is admitted."""

    def __init__(self, core: Core, headers: Headers, version: str | None, receive: Receive) -> None:
        super().__init__(core, headers, version, self._decode_body, b"", self._wait_for_end)
        self._receive = receive
        self._was_read = asyncio.Event()

    async def read(self, served: ServedProject) -> None:
        """Read the body, then decode it.

        Raises:
            Problem: the body or its tensors are refused.
            Disconnected: the caller disconnected.
        """
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind in SIMPLE_TYPES:
            message = f"Content-Type must be application/json, got {kind.decode('latin-1')!r}"
            raise Problem(415, "Unsupported content type", message)
        limit = self._core.settings.body_bytes
        self._sent = await bodies.read(self._receive, self.headers, limit)
        self._was_read.set()
        await super().read(served)

    def _decode_body(self, columns: tuple[Column, ...], most_rows: int) -> InferenceRequest:
        length = _length(self.headers)
        return codec.decode(self._sent, json_length=length, columns=columns, most_rows=most_rows)

    async def _wait_for_end(self) -> None:
        await self._was_read.wait()
        await bodies.disconnected(self._receive)


class InferEndpoint:
    """POST /v2/models/{name}[/versions/{version}]/infer"""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def __call__(
        self, name: str, version: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = dict(scope["headers"])
        try:
            request = HttpTensorRequest(self.core, headers, version, receive)
            prediction = await self.core.predictor.predict(name, request)
            content, json_length = codec.encode(
                output_columns(prediction),
                tensors_of(prediction[0]).outputs,
                request.inference,
                head=response_head(prediction, request.inference),
            )
        except Problem as problem:
            more = [(key.encode(), value.encode()) for key, value in problem.headers().items()]
            await reply(send, problem.status, JSON, error_body(problem), *more)
        except bodies.Disconnected:
            return
        else:
            if json_length is None:
                await reply(send, 200, JSON, content, prediction[0].pace)
            else:
                length_header = (LENGTH, b"%d" % json_length)
                await reply(send, 200, BINARY, content, length_header, prediction[0].pace)


def output_columns(prediction: Prediction) -> dict[str, Any]:
    """Return the output fields: arrays of numbers and flags, lists of the rest."""
    model, response, _ = prediction
    if response.columns is not None:
        return response.columns
    return codec.columns_of_predictions(response.predictions, tensors_of(model).outputs)


def response_head(prediction: Prediction, inference: InferenceRequest) -> dict[str, Any]:
    """Return the response's fields beside its outputs."""
    model, _, identifier = prediction
    return {
        "model_name": model.name,
        "model_version": model.version.version,
        "id": inference.id or identifier,
        "parameters": {"prediction_id": identifier, "variant": model.variant},
    }


def error_body(problem: Problem) -> bytes:
    """Return the problem as the protocol's clients read it."""
    return to_json({"error": f"{problem.title}: {problem.detail}"})


def _length(headers: Headers) -> int | None:
    value = headers.get(LENGTH)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        message = "Inference-Header-Content-Length must be a number"
        raise Problem(400, "Malformed request", message)
    return int(value)


def router(core: Core) -> APIRouter:
    """Return the routes that a client calls before it infers."""
    api = APIRouter(tags=["open inference protocol"])

    def failed(problem: Problem) -> Response:
        return Response(
            error_body(problem), problem.status, problem.headers(), media_type="application/json"
        )

    def find_model(
        name: str, version: str | None, request: Request
    ) -> tuple[ServedProject, LoadedModel]:
        core.admit(request, KeyScope.PREDICT)
        served = core.predictor.project(name)
        return served, find_version(served, version) or served.champion

    @api.get("/v2")
    async def server_metadata() -> dict[str, Any]:
        """Return the server's name and its extensions of the protocol."""
        return SERVER

    @api.get("/v2/health/live")
    async def live() -> Response:
        return Response()

    @api.get("/v2/health/ready")
    async def ready() -> Response:
        return Response(status_code=200 if core.models.server_ready else 503)

    @api.get("/v2/models/{name}/ready")
    @api.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
        try:
            find_model(name, version, request)
        except Problem as problem:
            return failed(problem)
        return Response()

    @api.get("/v2/models/{name}")
    @api.get("/v2/models/{name}/versions/{version}")
    async def model_metadata(request: Request, name: str, version: str | None = None) -> Response:
        """Return the model's versions and tensors."""
        try:
            served, model = find_model(name, version, request)
        except Problem as problem:
            return failed(problem)
        versions = sorted(each.version.version for each in served.models.values())
        tensors = tensors_of(model)
        return JSONResponse(metadata(name, versions, tensors.inputs, tensors.outputs))

    @api.post("/v2/repository/index")
    async def index(request: Request) -> Response:
        """List every model and version."""
        try:
            core.admit(request, KeyScope.PREDICT)
        except Problem as problem:
            return failed(problem)
        return JSONResponse(
            [
                {
                    "name": served.name,
                    "version": model.version.version,
                    "state": "READY",
                    "reason": "",
                }
                for served in core.projects()
                for model in served.models.values()
                if model.variant != SHADOW
            ]
        )

    return api
