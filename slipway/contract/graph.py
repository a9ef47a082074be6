"""What runs a model's ONNX file: ONNX Runtime in this process, or another runtime."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np


class Graph(Protocol):
    """An ONNX graph that is ready to run."""

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name to outputs by name, first axis the rows."""


class OnnxRuntimeGraph:
    """The graph in the file, run on CPU by ONNX Runtime in this process.

    Raises:
        FileNotFoundError: the file is missing.
    """

    def __init__(self, file: Path) -> None:
        import onnxruntime

        if not file.is_file():
            raise FileNotFoundError(f"no {file.name} in {file.parent}")
        options = onnxruntime.SessionOptions()
        # One request is one short call: threads of its own would only contend with others'.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        onnxruntime.disable_telemetry_events()
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))


Opener = Callable[[Path], Graph]
_opener: Opener = OnnxRuntimeGraph


def open_graph(file: Path) -> Graph:
    return _opener(file)


@contextmanager
def opened_by(opener: Opener) -> Iterator[None]:
    """Within the block models open their graphs with `opener` (one thread at a time)."""
    global _opener
    before, _opener = _opener, opener
    try:
        yield
    finally:
        _opener = before
