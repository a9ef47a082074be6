"""What a graph takes and gives, in Triton's terms, as ONNX Runtime reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# ONNX Runtime's name: Triton's, and numpy's.
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
# A row axis shows itself as the one that differs between two trials.
TRIALS = (2, 3)


class GraphRefused(Exception):
    """Triton cannot serve the graph; the message says why, and the way out."""


@dataclass(frozen=True)
class Tensor:
    """An input or output; -1 for an axis that varies."""

    name: str
    type: str
    shape: tuple[int, ...]
    """With the row axis, if there is one."""
    declared: tuple[int, ...]
    """What the file says, which need not be so."""


@dataclass(frozen=True)
class Signature:
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batched: bool
    """The first axis of every tensor is the rows."""
    untried: str = ""
    """Why the graph does not run on zeros and empty texts; empty if it does."""


def signature(file: Path) -> Signature:
    """Read the graph's metadata, and run it on zeros to see what shapes it really gives.

    Exporters get the shapes of outputs wrong: a naive Bayes of scikit-learn comes out as (1,)
    labels and (1, 2) probabilities however many the rows.

    Raises:
        GraphRefused: ONNX Runtime cannot load it, or something in it is not a tensor.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Above warnings: wrong shapes are looked for here, and told by us.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of onnxruntime, which has a class for each code
        raise GraphRefused(f"{file.name} does not load: {error}") from error
    inputs = tuple(_declared("input", each) for each in session.get_inputs())
    outputs = tuple(_declared("output", each) for each in session.get_outputs())
    follows = bool(inputs) and all(each.shape[:1] == (-1,) for each in inputs)
    trials, untried = [], ""
    try:
        for rows in TRIALS if follows else (1,):
            trials.append([each.shape for each in session.run(None, _zeros(inputs, rows))])
    except Exception as error:  # of onnxruntime
        trials, untried = [], str(error)
    if trials:
        seen = zip(outputs, *trials, strict=True)
        outputs = tuple(_really(tensor, shapes) for tensor, *shapes in seen)
        follows = follows and all(
            [shape[:1] for shape in shapes] == [(rows,) for rows in TRIALS]
            for shapes in zip(*trials, strict=True)
        )
    else:
        follows = follows and all(each.shape[:1] == (-1,) for each in outputs)
    return Signature(inputs, outputs, follows, untried)


def _declared(role: str, value: Any) -> Tensor:
    if value.type not in TYPES:
        known = value.type.startswith("tensor")
        way_out = "cast it in the graph" if known else "export tensors only, as with zipmap=False"
        raise GraphRefused(f"{role} {value.name} is {value.type}, Triton has no such: {way_out}")
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


def _really(tensor: Tensor, shapes: list[tuple[int, ...]]) -> Tensor:
    """`tensor` with the shape that the trials agree on."""
    first = shapes[0]
    if any(len(shape) != len(first) for shape in shapes):
        raise GraphRefused(f"output {tensor.name} has a rank that varies: {shapes}")
    said = tensor.declared if len(tensor.declared) == len(first) else (-1,) * len(first)
    # Zeros of another size may give another shape: an axis is fixed only if both say so.
    found = (
        size if {shape[place] for shape in shapes} == {said[place]} else -1
        for place, size in enumerate(first)
    )
    return Tensor(tensor.name, tensor.type, tuple(found), tensor.declared)
