"""Reads the inputs and outputs of an ONNX graph, in Triton's terms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# ONNX Runtime's type name to Triton's type name and numpy's type.
TYPES: dict[str, tuple[str, type]] = {
    "tensor(bool)": ("TYPE_BOOL", np.bool_),
    "tensor(uint8)": ("TYPE_UINT8", np.uint8),
    "tensor(uint16)": ("TYPE_UINT16", np.uint16),
    "tensor(uint32)": ("TYPE_UINT32", np.uint32),
    "tensor(uint64)": ("TYPE_UINT64", np.uint64),
    "tensor(int8)": ("TYPE_INT8", np.int8),
    "tensor(int16)": ("TYPE_INT16", np.int16),
    "tensor(int32)": ("TYPE_INT32", np.int32),
    "tensor(int64)": ("TYPE_INT64", np.int64),
    "tensor(float16)": ("TYPE_FP16", np.float16),
    "tensor(float)": ("TYPE_FP32", np.float32),
    "tensor(double)": ("TYPE_FP64", np.float64),
    "tensor(string)": ("TYPE_STRING", np.object_),
}
# Numbers of rows in two trial runs: the axis that differs between them is the row axis.
TRIALS = (2, 3)


class GraphRefused(Exception):
    """Raised when Triton cannot serve the graph; the message says why, and how to fix it."""


@dataclass(frozen=True)
class Tensor:
    """An input or output; -1 marks an axis that varies."""

    name: str
    type: str
    shape: tuple[int, ...]
    """The real shape, including the row axis if there is one."""
    declared: tuple[int, ...]
    """The shape declared in the file, which may be wrong."""


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batched: bool
    """True if the first axis of every tensor is the rows."""
    trial_error: str = ""
    """The reason that the graph does not run on zeros and empty texts; empty if it does."""


def read_signature(file: Path) -> Signature:
    """Read the graph's metadata, and run it on zeros to find the real output shapes.

    Exporters declare wrong output shapes: for a naive Bayes of scikit-learn, (1,) labels and
    (1, 2) probabilities whatever the number of rows.

    Raises:
        GraphRefused: ONNX Runtime cannot load it, or an input or output is not a tensor.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # No warnings: this function detects wrong shapes itself.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has an exception class for each code
        raise GraphRefused(f"{file.name} does not load: {error}") from error
    inputs = tuple(_declared("input", each) for each in session.get_inputs())
    outputs = tuple(_declared("output", each) for each in session.get_outputs())
    batched = bool(inputs) and all(each.shape[:1] == (-1,) for each in inputs)
    trials, trial_error = [], ""
    try:
        for rows in TRIALS if batched else (1,):
            trials.append([each.shape for each in session.run(None, _zeros(inputs, rows))])
    except Exception as error:  # from onnxruntime
        trials, trial_error = [], str(error)
    if trials:
        observed = zip(outputs, *trials, strict=True)
        outputs = tuple(_with_real_shape(tensor, shapes) for tensor, *shapes in observed)
        batched = batched and all(
            [shape[:1] for shape in shapes] == [(rows,) for rows in TRIALS]
            for shapes in zip(*trials, strict=True)
        )
    else:
        batched = batched and all(each.shape[:1] == (-1,) for each in outputs)
    return Signature(inputs, outputs, batched, trial_error)


def _declared(role: str, value: Any) -> Tensor:
    if value.type not in TYPES:
        is_tensor = value.type.startswith("tensor")
        fix = "cast it in the graph" if is_tensor else "export tensors only, as with zipmap=False"
        raise GraphRefused(
            f"{role} {value.name} is {value.type}, which Triton does not support: {fix}"
        )
    shape = tuple(axis if isinstance(axis, int) and axis >= 0 else -1 for axis in value.shape)
    return Tensor(value.name, value.type, shape, shape)


def _zeros(inputs: tuple[Tensor, ...], rows: int) -> dict[str, np.ndarray]:
    feeds: dict[str, np.ndarray] = {}
    for each in inputs:
        shape = [axis if axis >= 0 else 1 for axis in each.shape]
        if each.shape[:1] == (-1,):
            shape[0] = rows
        kind = TYPES[each.type][1]
        feeds[each.name] = np.full(shape, "" if kind is np.object_ else 0, dtype=kind)
    return feeds


def _with_real_shape(tensor: Tensor, shapes: list[tuple[int, ...]]) -> Tensor:
    """Return `tensor` with the shape on which the trials agree."""
    first = shapes[0]
    if any(len(shape) != len(first) for shape in shapes):
        raise GraphRefused(f"output {tensor.name} has a rank that varies: {shapes}")
    declared = tensor.declared if len(tensor.declared) == len(first) else (-1,) * len(first)
    # Other inputs may give another shape: an axis is fixed only if trials and file agree.
    axes = (
        size if {shape[place] for shape in shapes} == {declared[place]} else -1
        for place, size in enumerate(first)
    )
    return Tensor(tensor.name, tensor.type, tuple(axes), tensor.declared)
