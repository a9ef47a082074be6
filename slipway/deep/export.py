"""Export a torch module as one ONNX file whose bytes depend only on its graph and weights."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slipway.training.graph import write_model

OPSET = 21


def export_onnx(
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    weights: Path,
    name: str = "model.onnx",
    free_axes: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """Write `module` as the file `name` in `weights`; the first axis takes any number of rows.

    `inputs` holds an example of each argument of `forward`, in order. An example has at least two
    rows: one row would be exported as a fixed size. `free_axes` names, by input, further axes that
    take any size, such as the length of a text; axes of the same name have the same size.
    """
    module.eval()
    shapes = torch.export.ShapesCollection()
    for each, example in inputs.items():
        axes = {0: "rows", **(free_axes or {}).get(each, {})}
        shapes[example] = {axis: torch.export.Dim(size) for axis, size in axes.items()}
    # The exporter warns of missing torchvision operators and of torch's own deprecated names.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # Axes of equal size have one name; the exporter says so for each further axis.
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes.dynamic_shapes(module, tuple(inputs.values())),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    graph = program.model_proto
    _strip(graph)
    write_model(graph, weights / name)


def _strip(part: Any) -> None:
    """Remove metadata: the exporter records stack traces with paths of this machine."""
    for field in ("metadata_props", "doc_string"):
        if field in part.DESCRIPTOR.fields_by_name:
            part.ClearField(field)
    for descriptor, value in part.ListFields():
        if descriptor.message_type is not None:
            for each in value if descriptor.is_repeated else [value]:
                _strip(each)
