"""A model's graph that runs on a Triton server, called over gRPC."""

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

from services.predict.triton.config import triton_name
from slipway.contract.graph import Graph, Opener

SECONDS = 5.0
CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default gRPC's reconnect backoff grows to 120 s: a restarted Triton would stay unused for
    # as long.
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

# Threads can share a channel; a forked child process cannot.
_channels: dict[tuple[int, str], grpc.Channel] = {}
_channel_lock = threading.Lock()


class TritonUnavailable(Exception):
    """Raised when Triton is unreachable, too busy or too slow; a later call may succeed."""


class TritonRefused(Exception):
    """Raised when Triton does not have the model, or cannot run it on these inputs."""


def call_timeout() -> float:
    """Return the timeout of a call in seconds: $SLIPWAY_TRITON_SECONDS, by default 5.

    Raises:
        ValueError: the variable is not a positive number.
    """
    value = os.environ.get("SLIPWAY_TRITON_SECONDS", str(SECONDS))
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"SLIPWAY_TRITON_SECONDS must be a positive number, got {value!r}")
    return seconds


def opener(address: str, name: str, version: str) -> Opener:
    """Return an opener for `opened_by` that uses this version of the model in Triton at host:port.

    The graphs it opens raise TritonUnavailable or TritonRefused.
    """

    def open_graph(file: Path) -> Graph:
        return TritonGraph(address, triton_name(name, file.stem), version)

    return open_graph


@dataclass(frozen=True)
class _ModelConfig:
    """The relevant parts of the model's config in Triton."""

    rows: int
    """Largest number of rows in one request; 0 if the first axis is not the rows."""
    widened: frozenset[str]
    """Tensors with an extra last axis of size 1 in Triton."""


class TritonGraph:
    """A version of a model in Triton; thread-safe.

    Raises:
        TritonUnavailable: Triton does not respond within `seconds`.
        TritonRefused: Triton does not have that version.
    """

    def __init__(
        self, address: str, name: str, version: str, *, seconds: float | None = None
    ) -> None:
        self._address, self._name, self._version = address, name, version
        self._seconds = call_timeout() if seconds is None else seconds
        self._config = self._fetch_config(time.monotonic() + self._seconds)

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Map inputs by name to outputs by name; the first axis is the rows.

        Rows that exceed Triton's largest batch are sent in several requests.

        Raises:
            TritonUnavailable: not all responses came within the time for one call.
            TritonRefused: with Triton's reason.
        """
        deadline = time.monotonic() + self._seconds
        config = self._config
        try:
            return self._run(feeds, config, deadline)
        except TritonRefused:
            # The repository may have been rebuilt with other settings.
            self._config = self._fetch_config(deadline)
            if self._config == config:
                raise
            return self._run(feeds, self._config, deadline)

    def _run(
        self, feeds: dict[str, np.ndarray], config: _ModelConfig, deadline: float
    ) -> dict[str, np.ndarray]:
        rows = {len(each) if each.ndim else 0 for each in feeds.values()}
        if not config.rows or max(rows, default=0) <= config.rows:
            return self._infer(feeds, config, deadline)
        if len(rows) > 1:
            raise TritonRefused(f"{self._name}: inputs differ in rows: {sorted(rows)}")
        parts = [
            self._infer(
                {name: each[start : start + config.rows] for name, each in feeds.items()},
                config,
                deadline,
            )
            for start in range(0, rows.pop(), config.rows)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _infer(
        self, feeds: dict[str, np.ndarray], config: _ModelConfig, deadline: float
    ) -> dict[str, np.ndarray]:
        request = service_pb2.ModelInferRequest(model_name=self._name, model_version=self._version)
        for name, array in feeds.items():
            self._add_input(request, name, array[..., None] if name in config.widened else array)
        response = self._call(lambda stub: stub.ModelInfer, request, deadline)
        outputs = {}
        contents = zip(response.outputs, response.raw_output_contents, strict=True)
        for output, content in contents:
            array = _array(output, content)
            outputs[output.name] = array[..., 0] if output.name in config.widened else array
        return outputs

    def _add_input(self, request: Any, name: str, array: np.ndarray) -> None:
        if array.dtype.kind == "U":
            array = array.astype(object)
        datatype = np_to_triton_dtype(array.dtype)
        if datatype is None:
            raise TritonRefused(
                f"{self._name}: input {name} is {array.dtype}, which Triton does not support"
            )
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if datatype == "BYTES":
            packed = serialize_byte_tensor(array)
            request.raw_input_contents.append(packed.item() if packed.size else b"")
        else:
            request.raw_input_contents.append(array.tobytes())

    def _fetch_config(self, deadline: float) -> _ModelConfig:
        request = service_pb2.ModelConfigRequest(name=self._name, version=self._version)
        config = self._call(lambda stub: stub.ModelConfig, request, deadline).config
        tensors = (*config.input, *config.output)
        widened = {each.name for each in tensors if each.HasField("reshape")}
        return _ModelConfig(config.max_batch_size, frozenset(widened))

    def _call(self, method: Callable[[Any], Any], request: Any, deadline: float) -> Any:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(_channel(self._address))
        try:
            return method(stub)(request, timeout=max(0.0, deadline - time.monotonic()))
        except grpc.RpcError as error:
            message = f"Triton at {self._address}, {self._name} v{self._version}: {error.details()}"
            if error.code() in AWAY:
                raise TritonUnavailable(message) from error
            raise TritonRefused(message) from error


def _channel(address: str) -> grpc.Channel:
    with _channel_lock:
        key = (os.getpid(), address)
        if key not in _channels:
            _channels[key] = grpc.insecure_channel(address, options=CHANNEL)
        return _channels[key]


def _array(output: Any, content: bytes) -> np.ndarray:
    """Decode an output to what ONNX Runtime returns: writable, with texts as str."""
    shape = tuple(output.shape)
    if output.datatype == "BYTES":
        texts = np.empty(shape, dtype=object)
        texts.reshape(-1)[:] = [each.decode() for each in deserialize_bytes_tensor(content)]
        return texts
    array = np.frombuffer(content, dtype=triton_to_np_dtype(output.datatype))
    return array.reshape(shape).copy()
