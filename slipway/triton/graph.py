"""A graph that a Triton server runs, asked over gRPC."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc  # type: ignore[import-untyped]
from tritonclient.utils import (  # type: ignore[import-untyped]
    deserialize_bytes_tensor,
    np_to_triton_dtype,
    serialize_byte_tensor,
    triton_to_np_dtype,
)

from slipway.contract.graph import Graph, Opener
from slipway.triton.config import GRAPH

SECONDS = 5.0
CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own pause between two tries to connect grows to 120 s: a Triton that was restarted
    # would be left alone for as long.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)

# A channel may be used by all threads at once, but not by a child of a fork.
_channels: dict[tuple[int, str], grpc.Channel] = {}
_opening = threading.Lock()


class TritonUnavailable(Exception):
    """Triton cannot be reached, is too busy, or took too long: later it may answer."""


class TritonRefused(Exception):
    """Triton does not hold the model, or will not or cannot run it on these inputs."""


def limit() -> float:
    """What a call may take: $SLIPWAY_TRITON_SECONDS, else 5.

    Raises:
        ValueError: the variable holds no positive number.
    """
    value = os.environ.get("SLIPWAY_TRITON_SECONDS", str(SECONDS))
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError(f"SLIPWAY_TRITON_SECONDS must be a positive number, got {value!r}")
    return found


def opener(address: str, name: str, version: str) -> Opener:
    """For `opened_by`: the model's graph, as the version of that name in Triton at host:port.

    What it opens raises TritonUnavailable or TritonRefused.
    """

    def opened(file: Path) -> Graph:
        if file.name != GRAPH:
            raise TritonRefused(f"{name} opens {file.name}: Triton holds {GRAPH} only")
        return TritonGraph(address, name, version)

    return opened


@dataclass(frozen=True)
class _Held:
    """What Triton says of the model."""

    rows: int
    """At most in one request; 0: the first axis is not the rows."""
    widened: frozenset[str]
    """Tensors that have an axis of size 1 more with Triton than in the graph."""


class TritonGraph:
    """A version of a model in Triton; used by any number of threads at once.

    Raises:
        TritonUnavailable: Triton does not answer within `seconds`.
        TritonRefused: it does not hold that version.
    """

    def __init__(
        self, address: str, name: str, version: str, *, seconds: float | None = None
    ) -> None:
        self._address, self._name, self._version = address, name, version
        self._seconds = limit() if seconds is None else seconds
        self._held = self._ask(time.monotonic() + self._seconds)

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name to outputs by name, first axis the rows; more than fit go in parts.

        Raises:
            TritonUnavailable: no answer to all parts within the time for one call.
            TritonRefused: Triton's own words say why.
        """
        until = time.monotonic() + self._seconds
        held = self._held
        try:
            return self._run(feeds, held, until)
        except TritonRefused:
            # The repository may have been built anew, with other settings.
            self._held = self._ask(until)
            if self._held == held:
                raise
            return self._run(feeds, self._held, until)

    def _run(
        self, feeds: dict[str, np.ndarray], held: _Held, until: float
    ) -> dict[str, np.ndarray]:
        rows = {len(each) if each.ndim else 0 for each in feeds.values()}
        if not held.rows or max(rows, default=0) <= held.rows:
            return self._infer(feeds, held, until)
        if len(rows) > 1:
            raise TritonRefused(f"{self._name}: inputs differ in rows: {sorted(rows)}")
        parts = [
            self._infer(
                {name: each[start : start + held.rows] for name, each in feeds.items()}, held, until
            )
            for start in range(0, rows.pop(), held.rows)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _infer(
        self, feeds: dict[str, np.ndarray], held: _Held, until: float
    ) -> dict[str, np.ndarray]:
        request = service_pb2.ModelInferRequest(model_name=self._name, model_version=self._version)
        for name, array in feeds.items():
            self._feed(request, name, array[..., None] if name in held.widened else array)
        answer = self._call(lambda stub: stub.ModelInfer, request, until)
        found = {}
        contents = zip(answer.outputs, answer.raw_output_contents, strict=True)
        for output, content in contents:
            array = _array(output, content)
            found[output.name] = array[..., 0] if output.name in held.widened else array
        return found

    def _feed(self, request: Any, name: str, array: np.ndarray) -> None:
        if array.dtype.kind == "U":
            array = array.astype(object)
        datatype = np_to_triton_dtype(array.dtype)
        if datatype is None:
            raise TritonRefused(f"{self._name}: input {name} is {array.dtype}, Triton has no such")
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if datatype == "BYTES":
            packed = serialize_byte_tensor(array)
            request.raw_input_contents.append(packed.item() if packed.size else b"")
        else:
            request.raw_input_contents.append(array.tobytes())

    def _ask(self, until: float) -> _Held:
        request = service_pb2.ModelConfigRequest(name=self._name, version=self._version)
        config = self._call(lambda stub: stub.ModelConfig, request, until).config
        tensors = (*config.input, *config.output)
        widened = {each.name for each in tensors if each.HasField("reshape")}
        return _Held(config.max_batch_size, frozenset(widened))

    def _call(self, method: Callable[[Any], Any], request: Any, until: float) -> Any:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(_channel(self._address))
        try:
            return method(stub)(request, timeout=max(0.0, until - time.monotonic()))
        except grpc.RpcError as error:
            told = f"Triton at {self._address}, {self._name} v{self._version}: {error.details()}"
            if error.code() in AWAY:
                raise TritonUnavailable(told) from error
            raise TritonRefused(told) from error


def _channel(address: str) -> grpc.Channel:
    with _opening:
        key = (os.getpid(), address)
        if key not in _channels:
            _channels[key] = grpc.insecure_channel(address, options=CHANNEL)
        return _channels[key]


def _array(output: Any, content: bytes) -> np.ndarray:
    """As ONNX Runtime gives it: writable, texts as str."""
    shape = tuple(output.shape)
    if output.datatype == "BYTES":
        texts = np.empty(shape, dtype=object)
        texts.reshape(-1)[:] = [each.decode() for each in deserialize_bytes_tensor(content)]
        return texts
    array = np.frombuffer(content, dtype=triton_to_np_dtype(output.datatype))
    return array.reshape(shape).copy()
