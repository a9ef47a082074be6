"""The protocol over HTTP. Errors are what its clients read: `{"error": "..."}`."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic_core import to_json
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from services.predict import body as bodies
from services.predict import routing
from services.predict.endpoint import JSON, Predict, reply
from services.predict.engine import Answered, Engine
from services.predict.fleet import Served
from services.predict.oip import codec
from services.predict.oip.codec import Inference
from services.predict.oip.columns import Column, metadata
from services.predict.unit import Unit
from services.predict.watch import Overrun
from services.web.problem import Problem
from slipway.access.scopes import Scope as KeyScope

if TYPE_CHECKING:
    from services.predict.app import App

LENGTH = b"inference-header-content-length"
BINARY = (b"content-type", b"application/octet-stream")
# What takes longer is left to a thread: a thousand rows of a small model take a millisecond.
INLINE_SECONDS = 0.005
EXTENSIONS = ["binary_tensor_data"]
SERVER = {"name": "slipway", "version": "2", "extensions": EXTENSIONS}


class Infer:
    """POST /v2/models/{name}[/versions/{version}]/infer"""

    def __init__(self, predict: Predict) -> None:
        self.predict = predict

    async def __call__(
        self, name: str, version: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = dict(scope["headers"])
        try:
            body = await bodies.read(receive, headers, self.predict.settings.body_bytes)
            length = _length(headers)

            def decode(columns: tuple[Column, ...], most_rows: int) -> Inference:
                return codec.decode(body, json_length=length, columns=columns, most_rows=most_rows)

            found = await self.answer(name, version, headers, decode, body)
            told, length = codec.encode(
                found.outputs, found.unit.outputs, found.inference, about=about(found)
            )
        except Problem as problem:
            more = [(key.encode(), value.encode()) for key, value in problem.headers().items()]
            await reply(send, problem.status, JSON, error(problem), *more)
        except bodies.Disconnected:
            return
        else:
            if length is None:
                await reply(send, 200, JSON, told)
            else:
                await reply(send, 200, BINARY, told, (LENGTH, b"%d" % length))

    async def answer(
        self,
        name: str,
        version: str | None,
        headers: dict[bytes, bytes],
        decode: Callable[[tuple[Column, ...], int], Inference],
        body: bytes,
    ) -> "Found":
        """Answer what `decode` reads, which is given the model's columns and the most rows.

        `body` is what was sent; the record of a large batch holds its hash.

        Raises:
            Problem: refused, or the model failed.
        """
        start = perf_counter()
        unit: Unit | None = None
        try:
            self.predict.guard.admit(headers, KeyScope.PREDICT)
            served = self.predict.served(name)
            unit = self.pinned(served, version)
            columns = (unit or served.champion).inputs
            inference = decode(columns, self.predict.settings.batch_rows)
            outputs, unit, identifier = await self.inferred(
                served, unit, inference, headers, body, start
            )
        except Problem as problem:
            self.predict.count(name, unit, problem)
            raise
        return Found(outputs, unit, inference, identifier)

    def pinned(self, served: Served, version: str | None) -> Unit | None:
        """The unit of the version that the caller named, if one was.

        Raises:
            Problem: that version is not served.
        """
        if version is None:
            return None
        for unit in served.units.values():
            if unit.version.version == version and unit.variant != "shadow":
                return unit
        told = f"{served.name} has no version {version!r} that is served"
        raise Problem(404, "No such version", told)

    async def inferred(
        self,
        served: Served,
        pinned: Unit | None,
        inference: Inference,
        headers: dict[bytes, bytes],
        body: bytes,
        start: float,
    ) -> tuple[dict[str, Any], Unit, str]:
        """Fields of the answer, which unit gave it, and the id of its record.

        Raises:
            Problem: refused, or the model failed.
        """
        by_field = served.policy.challenger and served.policy.key
        unit = pinned or routing.choose(served, headers, b"")
        if not by_field and unit.loaded and unit.engine and self._whole(unit, inference):
            return await self._by_columns(served, unit, inference, headers, body, start)
        records = codec.as_json(inference)
        unit = pinned or (routing.choose(served, headers, records) if by_field else unit)
        answered, unit = await self.predict.answered(served, unit, records)
        identifier = self.predict.finished(served, unit, headers, records, answered, start)
        return codec.columns_of_answers(answered.predictions, unit.outputs), unit, identifier

    def _whole(self, unit: Unit, inference: Inference) -> bool:
        """Whether the model can answer the columns as they are."""
        return (
            unit.engine is not None
            and unit.engine.answers_columns
            and inference.records is None
            and not inference.lists
            and len(inference.arrays) == len(unit.inputs)
            and unit.bounds.checkable
        )

    async def _by_columns(
        self,
        served: Served,
        unit: Unit,
        inference: Inference,
        headers: dict[bytes, bytes],
        body: bytes,
        start: float,
    ) -> tuple[dict[str, Any], Unit, str]:
        engine, profile = unit.engine, unit.version.profile
        assert engine is not None
        arguments = (inference.arrays, unit.bounds, unit.outputs)
        unit.used = perf_counter()
        if unit.direct and inference.rows * profile.batch_seconds < INLINE_SECONDS:
            outputs, validating, inferring = self._watched(unit, engine, arguments)
        else:
            outputs, validating, inferring = await unit.beside(engine.answer_columns, *arguments)
        settings = self.predict.settings
        # Of a large batch the record holds the hash of what was sent, of a small one the records.
        large = inference.rows * len(inference.arrays) * 8 > settings.log_input_bytes
        columns = to_json(
            {name: values.tolist() for name, values in outputs.items()}, inf_nan_mode="null"
        )
        answered = Answered(columns, inference.rows, validating, inferring, by_column=True)
        sent = body if large else codec.as_json(inference)
        identifier = self.predict.finished(served, unit, headers, sent, answered, start)
        return outputs, unit, identifier

    def _watched(
        self, unit: Unit, engine: Engine, arguments: tuple[Any, ...]
    ) -> tuple[dict[str, np.ndarray], float, float]:
        """Raises Problem."""
        watch = self.predict.watch
        try:
            watch.enter(unit.digest)
            try:
                return engine.answer_columns(*arguments)
            finally:
                watch.leave()
        except Overrun:
            unit.move_out("a batch took too long")
            raise unit.late() from None
        except Problem:
            raise
        except Exception as fault:
            raise unit.raised(fault) from None


@dataclass
class Found:
    """An answer: its fields, which unit gave it, to what, and the id of its record."""

    outputs: dict[str, Any]
    unit: Unit
    inference: Inference
    identifier: str


def about(found: Found) -> dict[str, Any]:
    return {
        "model_name": found.unit.name,
        "model_version": found.unit.version.version,
        "id": found.inference.id or found.identifier,
        "parameters": {"prediction_id": found.identifier, "variant": found.unit.variant},
    }


def error(problem: Problem) -> bytes:
    return to_json({"error": f"{problem.title}: {problem.detail}"})


def _length(headers: dict[bytes, bytes]) -> int | None:
    value = headers.get(LENGTH)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        told = "Inference-Header-Content-Length must be a number"
        raise Problem(400, "Malformed request", told)
    return int(value)


def add(app: FastAPI, server: "App") -> None:
    """What a client asks before it infers."""

    def failed(problem: Problem) -> Response:
        return Response(
            error(problem), problem.status, problem.headers(), media_type="application/json"
        )

    def unit_of(name: str, version: str | None, request: Request) -> tuple[Served, Unit]:
        server.guard.admit(dict(request.scope["headers"]), KeyScope.PREDICT)
        served = server.predict.served(name)
        return served, server.infer.pinned(served, version) or served.champion

    @app.get("/v2", tags=["open inference protocol"])
    async def server_metadata() -> dict[str, Any]:
        """The server and its extensions."""
        return SERVER

    @app.get("/v2/health/live", tags=["open inference protocol"])
    async def live() -> Response:
        return Response()

    @app.get("/v2/health/ready", tags=["open inference protocol"])
    async def ready() -> Response:
        return Response(status_code=200 if server.fleet.server_ready else 503)

    @app.get("/v2/models/{name}/ready", tags=["open inference protocol"])
    @app.get("/v2/models/{name}/versions/{version}/ready", tags=["open inference protocol"])
    async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
        try:
            unit_of(name, version, request)
        except Problem as problem:
            return failed(problem)
        return Response()

    @app.get("/v2/models/{name}", tags=["open inference protocol"])
    @app.get("/v2/models/{name}/versions/{version}", tags=["open inference protocol"])
    async def model_metadata(request: Request, name: str, version: str | None = None) -> Response:
        """The model's tensors."""
        try:
            served, unit = unit_of(name, version, request)
        except Problem as problem:
            return failed(problem)
        versions = sorted(each.version.version for each in served.units.values())
        return JSONResponse(metadata(name, versions, unit.inputs, unit.outputs))

    @app.post("/v2/repository/index", tags=["open inference protocol"])
    async def index(request: Request) -> Response:
        """Every model and version."""
        try:
            server.guard.admit(dict(request.scope["headers"]), KeyScope.PREDICT)
        except Problem as problem:
            return failed(problem)
        return JSONResponse(
            [
                {"name": name, "version": unit.version.version, "state": "READY", "reason": ""}
                for name, served in sorted(server.fleet.served.items())
                for unit in served.units.values()
                if unit.variant != "shadow"
            ]
        )
