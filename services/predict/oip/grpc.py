"""The protocol over gRPC: the same inferences in other clothes."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as services

from services.predict.oip import codec
from services.predict.oip.codec import Content, Inference, Wanted
from services.predict.oip.columns import Column, metadata
from services.predict.oip.http import EXTENSIONS, Found, about
from services.web.problem import Problem
from slipway import home
from slipway.access.scopes import Scope

if TYPE_CHECKING:
    from services.predict.app import App

log = logging.getLogger("slipway.predict")
T = TypeVar("T")

STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Where the values of a tensor stand when they do not come raw.
CONTENTS = {
    "BOOL": "bool_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    "INT64": "int64_contents",
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Service(services.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, server: "App") -> None:
        self.server = server

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return messages.ServerReadyResponse(ready=self.server.fleet.server_ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return messages.ServerMetadataResponse(name="slipway", version="2", extensions=EXTENSIONS)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        served = self.server.fleet.served.get(request.name)
        return messages.ModelReadyResponse(ready=served is not None)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        async def told() -> Any:
            self.server.guard.admit(_headers(context), Scope.PREDICT)
            served = self.server.predict.served(request.name)
            unit = self.server.infer.pinned(served, request.version or None) or served.champion
            versions = sorted(each.version.version for each in served.units.values())
            found = metadata(request.name, versions, unit.inputs, unit.outputs)
            return messages.ModelMetadataResponse(**found)

        return await _told(context, told)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        async def told() -> Any:
            def decode(columns: tuple[Column, ...], most_rows: int) -> Inference:
                return decoded(request, columns, most_rows)

            found = await self.server.infer.answer(
                request.model_name,
                request.model_version or None,
                _headers(context),
                decode,
                b"".join(request.raw_input_contents),
            )
            return encoded(found)

        return await _told(context, told)


def _headers(context: Any) -> dict[bytes, bytes]:
    return {
        key.encode(): value.encode() if isinstance(value, str) else value
        for key, value in context.invocation_metadata() or ()
    }


async def _told(context: Any, answering: Callable[[], Awaitable[T]]) -> T:
    """The answer; a Problem becomes gRPC's status for it."""
    try:
        return await answering()
    except Problem as problem:
        status = STATUS.get(problem.status, grpc.StatusCode.INTERNAL)
        told = f"{problem.title}: {problem.detail}"
    except Exception:
        log.exception("a request failed")
        status, told = grpc.StatusCode.INTERNAL, "the server failed; its log says why"
    await context.abort(status, told)
    raise AssertionError("abort raises")


def decoded(request: Any, columns: tuple[Column, ...], most_rows: int) -> Inference:
    """Raises Problem: the tensors do not fit the model."""
    inference = Inference(id=request.id or None, rows=-1, binary=True)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        told = f"{len(raw)} raw contents for {len(request.inputs)} inputs"
        raise Problem(400, "Malformed request", told)
    for place, tensor in enumerate(request.inputs):
        name, datatype = tensor.name, tensor.datatype
        if datatype not in CONTENTS and datatype != "FP16":
            raise codec.refuse(name, f"datatype {datatype!r} is not known")
        rows = codec.rows_of(name, list(tensor.shape), most_rows)
        if raw:
            content = codec.from_binary(name, datatype, rows, memoryview(raw[place]))
        else:
            content = _typed(name, datatype, rows, tensor.contents)
        codec.add(inference, name, rows, content, columns)
    if request.outputs:
        inference.wanted = [Wanted(each.name, binary=True) for each in request.outputs]
    return codec.complete(inference, columns)


def _typed(name: str, datatype: str, rows: int, contents: Any) -> Content:
    if datatype == "FP16":
        raise codec.refuse(name, "FP16 comes in raw_input_contents only")
    values = list(getattr(contents, CONTENTS[datatype]))
    if len(values) != rows:
        raise codec.refuse(name, f"has {len(values)} values, its shape says {rows}")
    if datatype == "BYTES":
        return Content(datatype, values, binary=True)
    try:
        array = np.array(values, dtype=codec.DTYPES[datatype])
    except OverflowError:
        raise codec.refuse(name, f"holds a number that {datatype} does not") from None
    return Content(datatype, array, binary=True)


def encoded(found: Found) -> Any:
    head = about(found)
    response = messages.ModelInferResponse(
        model_name=head["model_name"], model_version=head["model_version"], id=head["id"]
    )
    for key, value in head["parameters"].items():
        response.parameters[key].string_param = value
    for column, _ in codec.chosen(found.unit.outputs, found.inference):
        values = found.outputs[column.name]
        datatype = codec.datatype_of(column, values)
        response.outputs.add(name=column.name, datatype=datatype, shape=[len(values)])
        response.raw_output_contents.append(codec.raw(column, values))
    return response


async def start(server: "App") -> grpc.aio.Server:
    """Listen beside the HTTP port; several workers share the port."""
    settings = server.settings
    limit = [
        ("grpc.max_receive_message_length", settings.body_bytes),
        ("grpc.so_reuseport", 1),
    ]
    listening = grpc.aio.server(options=limit)
    services.add_GRPCInferenceServiceServicer_to_server(Service(server), listening)
    host = settings.host or home.LOOPBACK
    listening.add_insecure_port(f"{host}:{settings.grpc_port}")
    await listening.start()
    return listening
