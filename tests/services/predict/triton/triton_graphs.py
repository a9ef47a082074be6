"""ONNX graphs for Triton, and helpers that run a real tritonserver on CPU."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper

from services.predict.triton import server
from services.predict.triton.graph import TritonRefused, TritonUnavailable
from services.predict.triton.server import RunningTriton, TritonFault
from services.predict.triton.settings import TritonSettings
from slipway.contract.shipped import Shipped
from slipway.home import free_port
from tests.waiting import PATIENCE, until

LARGEST = 64
# The delay is long, since a busy machine takes milliseconds per request of a batch.
SETTINGS = TritonSettings.model_validate(
    {"max_batch_size": LARGEST, "max_queue_delay_microseconds": 100_000}
)

TYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "object": TensorProto.STRING,
}


def ship_graph(folder: Path, graph: onnx.GraphProto) -> Shipped:
    """Lay out a graph as the weights of a model."""
    result = Shipped(folder)
    result.weights.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, result.weights / "model.onnx")
    return result


def tensor(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def echo() -> onnx.GraphProto:
    """Return a graph that outputs its inputs: every type, with one and three values per row."""
    nodes, inputs, outputs = [], [], []
    for name, kind in TYPES.items():
        for width in ((), (3,)):
            own = f"{name}{len(width)}"
            nodes.append(helper.make_node("Identity", [own], [f"{own}_back"]))
            inputs.append(tensor(own, kind, "rows", *width))
            outputs.append(tensor(f"{own}_back", kind, "rows", *width))
    return helper.make_graph(nodes, "echo", inputs, outputs)


def lookup(values: list[float]) -> onnx.GraphProto:
    """Return a graph that looks up `values` by index; an invalid index fails the whole run."""
    table = onnx.numpy_helper.from_array(np.array(values, dtype=np.float32), "table")
    return helper.make_graph(
        [helper.make_node("Gather", ["table", "place"], ["value"])],
        "lookup",
        [tensor("place", TensorProto.INT64, "rows")],
        [tensor("value", TensorProto.FLOAT, "rows")],
        [table],
    )


def fixed() -> onnx.GraphProto:
    """Return a graph with fixed 2 by 2 tensors."""
    node = helper.make_node("Neg", ["square"], ["negative"])
    square, negative = (tensor(name, TensorProto.FLOAT, 2, 2) for name in ("square", "negative"))
    return helper.make_graph([node], "fixed", [square], [negative])


def scalar() -> onnx.GraphProto:
    """Return a graph whose output has no axis."""
    node = helper.make_node("ReduceSum", ["square"], ["sum"], keepdims=0)
    square, total = tensor("square", TensorProto.FLOAT, 2, 2), tensor("sum", TensorProto.FLOAT)
    return helper.make_graph([node], "scalar", [square], [total])


def misdeclared() -> onnx.GraphProto:
    """Return a graph whose output has another shape than declared."""
    node = helper.make_node("Neg", ["x"], ["y"])
    x, y = tensor("x", TensorProto.FLOAT, "rows", 2), tensor("y", TensorProto.FLOAT, 1, 2)
    return helper.make_graph([node], "misdeclared", [x], [y])


def install_triton_or_skip() -> None:
    """Install tritonserver, or skip the test where that is impossible."""
    try:
        server.environment()
    except TritonFault as fault:
        pytest.skip(f"Triton cannot run here: {fault}")


def ship_graphs(folder: Path) -> dict[str, Shipped]:
    """Lay out the graphs that Triton can serve, by name."""
    graphs = {"echo": echo(), "lookup": lookup([0.0, 1.0, 2.0]), "fixed": fixed()}
    return {name: ship_graph(folder / name, graph) for name, graph in graphs.items()}


@contextmanager
def run_triton(
    repository: Path, log: Path, *, ports: tuple[int, int, int] | None = None, poll: int = 0
) -> Iterator[RunningTriton]:
    """Run a real tritonserver on the repository until the block ends."""
    http, grpc, metrics = ports or (free_port(), free_port(), free_port())
    with server.running(
        repository, http=http, grpc=grpc, metrics=metrics, log=log, poll_seconds=poll or None
    ) as running:
        yield running


def until_ended(processes: list[psutil.Process]) -> None:
    """Wait until the processes have ended."""
    for each in processes:
        until(
            lambda each=each: not each.is_running() or each.status() == psutil.STATUS_ZOMBIE,  # type: ignore[misc]
            lambda each=each: f"{each} is still there",  # type: ignore[misc]
        )


def retry_triton(call: Callable):  # type: ignore[no-untyped-def]
    """Repeat the call until Triton succeeds; return the result."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except (TritonRefused, TritonUnavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
