"""Build ONNX graphs node by node, for models that no converter supports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# The newest operator sets that both skl2onnx and ONNX Runtime's tree operators support.
OPSET = {"": 21, "ai.onnx.ml": 3}


def write_graph(
    file: Path,
    nodes: Sequence[Any],
    *,
    inputs: Mapping[str, int],
    outputs: Mapping[str, int],
    constants: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a graph whose inputs and outputs are float32 matrices (rows, width), widths by name.

    Nodes come from `onnx.helper.make_node` or from other graphs. Constants are stored as float32,
    integers as int64, because operators take indices and shapes as int64.

    Raises:
        onnx.checker.ValidationError: the nodes do not form a valid graph.
    """
    from onnx import TensorProto, helper, numpy_helper

    def matrices(widths: Mapping[str, int]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
            for name, width in widths.items()
        ]

    dtypes: dict[str, type] = {"f": np.float32, "i": np.int64}
    tensors = [
        numpy_helper.from_array(value.astype(dtypes.get(value.dtype.kind, value.dtype)), name)
        for name, value in (constants or {}).items()
    ]
    graph = helper.make_graph(nodes, file.stem, matrices(inputs), matrices(outputs), tensors)
    opsets = [helper.make_opsetid(*each) for each in sorted(OPSET.items())]
    write_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), file)


def write_model(model: Any, file: Path) -> None:
    """Check the model, and write it so that equal models have equal bytes.

    Raises:
        onnx.checker.ValidationError: the model is invalid.
    """
    import onnx

    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString(deterministic=True))
