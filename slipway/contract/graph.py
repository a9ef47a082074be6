"""Runtimes for a model's ONNX file: ONNX Runtime in this process by default."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

import numpy as np

# A request is one short call: threads per graph would only contend with each other.
_threads: ContextVar[int] = ContextVar("threads", default=1)


class Graph(Protocol):
    """A loaded ONNX graph."""

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Map inputs by name to outputs by name; the first axis of each is the rows."""


class OnnxRuntimeGraph:
    """A graph that ONNX Runtime runs on the CPU in this process.

    Raises:
        FileNotFoundError: the file is missing.
    """

    def __init__(self, file: Path) -> None:
        import onnxruntime

        if not file.is_file():
            raise FileNotFoundError(f"no {file.name} in {file.parent}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _threads.get()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        onnxruntime.disable_telemetry_events()
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Map inputs by name to outputs by name."""
        return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))


Opener = Callable[[Path], Graph]
_opener: Opener = OnnxRuntimeGraph


def open_graph(file: Path) -> Graph:
    """Load the graph in `file` with the current opener."""
    return _opener(file)


@contextmanager
def opened_by(opener: Opener) -> Iterator[None]:
    """Make models open their graphs with `opener` inside the block (one thread at a time)."""
    global _opener
    before, _opener = _opener, opener
    try:
        yield
    finally:
        _opener = before


@contextmanager
def threads_per_graph(count: int) -> Iterator[None]:
    """Make ONNX Runtime use `count` threads for each graph that is opened inside the block."""
    token = _threads.set(count)
    try:
        yield
    finally:
        _threads.reset(token)
