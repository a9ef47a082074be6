"""The Open Inference Protocol over gRPC: the same requests as over HTTP."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as services

from services.predict.core import Core
from services.predict.oip import codec
from services.predict.oip.codec import InferenceRequest, RequestedOutput, TensorContent
from services.predict.oip.columns import Column, metadata
from services.predict.oip_http import (
    EXTENSIONS,
    TensorRequest,
    find_version,
    output_columns,
    response_head,
    tensors_of,
)
from services.predict.predictor import Headers, Prediction
from services.web.problem import Problem
from slipway import home
from slipway.access.scopes import Scope

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
# The fields that hold the values of a tensor when they do not come raw.
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


class InferenceService(services.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The methods of the protocol's gRPC service."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return messages.ServerReadyResponse(ready=self.core.models.server_ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return messages.ServerMetadataResponse(name="slipway", version="2", extensions=EXTENSIONS)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        served = self.core.models.served.get(request.name)
        return messages.ModelReadyResponse(ready=served is not None)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        async def respond() -> Any:
            self.core.guard.admit(_headers(context), Scope.PREDICT)
            served = self.core.predictor.project(request.name)
            model = find_version(served, request.version or None) or served.champion
            versions = sorted(each.version.version for each in served.models.values())
            tensors = tensors_of(model)
            return messages.ModelMetadataResponse(
                **metadata(request.name, versions, tensors.inputs, tensors.outputs)
            )

        return await _with_status(context, respond)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        async def respond() -> Any:
            def decode(columns: tuple[Column, ...], most_rows: int) -> InferenceRequest:
                return decode_message(request, columns, most_rows)

            sent = b"".join(request.raw_input_contents)
            tensors = TensorRequest(
                self.core,
                _headers(context),
                request.model_version or None,
                decode,
                sent,
                asyncio.Event().wait,  # gRPC cancels the method itself
            )
            prediction = await self.core.predictor.predict(request.model_name, tensors)
            return encode_message(prediction, tensors.inference)

        return await _with_status(context, respond)


def _headers(context: Any) -> Headers:
    return {
        key.encode(): value.encode() if isinstance(value, str) else value
        for key, value in context.invocation_metadata() or ()
    }


async def _with_status(context: Any, respond: Callable[[], Awaitable[T]]) -> T:
    """Return the response; a Problem becomes the gRPC status for it."""
    try:
        return await respond()
    except Problem as problem:
        status = STATUS.get(problem.status, grpc.StatusCode.INTERNAL)
        message = f"{problem.title}: {problem.detail}"
    except Exception:
        log.exception("a request failed")
        status, message = grpc.StatusCode.INTERNAL, "the server failed; its log says why"
    await context.abort(status, message)
    raise AssertionError("abort raises")


def decode_message(request: Any, columns: tuple[Column, ...], most_rows: int) -> InferenceRequest:
    """Return the request in a ModelInferRequest.

    Raises:
        Problem: the tensors do not fit the model.
    """
    inference = InferenceRequest(id=request.id or None, rows=-1, binary=True)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        message = f"{len(raw)} raw contents for {len(request.inputs)} inputs"
        raise Problem(400, "Malformed request", message)
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
        inference.outputs = [RequestedOutput(each.name, binary=True) for each in request.outputs]
    return codec.complete(inference, columns)


def _typed(name: str, datatype: str, rows: int, contents: Any) -> TensorContent:
    if datatype == "FP16":
        raise codec.refuse(name, "FP16 comes in raw_input_contents only")
    values = list(getattr(contents, CONTENTS[datatype]))
    if len(values) != rows:
        raise codec.refuse(name, f"has {len(values)} values, its shape says {rows}")
    if datatype == "BYTES":
        return TensorContent(datatype, values, binary=True)
    try:
        array = np.array(values, dtype=codec.DTYPES[datatype])
    except OverflowError:
        raise codec.refuse(name, f"holds a number that {datatype} does not") from None
    return TensorContent(datatype, array, binary=True)


def encode_message(prediction: Prediction, inference: InferenceRequest) -> Any:
    """Return the prediction as a ModelInferResponse."""
    head, outputs = response_head(prediction, inference), output_columns(prediction)
    response = messages.ModelInferResponse(
        model_name=head["model_name"], model_version=head["model_version"], id=head["id"]
    )
    for key, value in head["parameters"].items():
        response.parameters[key].string_param = value
    for column, _ in codec.requested_outputs(tensors_of(prediction[0]).outputs, inference):
        values = outputs[column.name]
        datatype = codec.datatype_of(column, values)
        response.outputs.add(name=column.name, datatype=datatype, shape=[len(values)])
        response.raw_output_contents.append(codec.to_binary(column, values))
    return response


class MessageParser(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Parses the messages of each method, and refuses those that are malformed.

    gRPC itself reports them as UNKNOWN, a failure of the server, and names its own exception.
    """

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the method's handler, which takes the bytes of a message."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def respond(content: bytes, context: Any) -> Any:
            if not inspect.iscoroutinefunction(handler.unary_unary):
                # A method of the protocol's extensions that this server does not have.
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{details.method} is not here")
            try:
                request = handler.request_deserializer(content)
            except DecodeError:
                message = "the message is not of the type that the method takes"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            respond, response_serializer=handler.response_serializer
        )


async def start(core: Core) -> grpc.aio.Server:
    """Listen beside the HTTP port; several workers share the port."""
    settings = core.settings
    options = [
        ("grpc.max_receive_message_length", settings.body_bytes),
        ("grpc.so_reuseport", 1),
    ]
    server = grpc.aio.server(options=options, interceptors=[MessageParser()])
    services.add_GRPCInferenceServiceServicer_to_server(InferenceService(core), server)
    host = settings.host or home.LOOPBACK
    server.add_insecure_port(f"{host}:{settings.grpc_port}")
    await server.start()
    return server
