"""A torch module as one ONNX file whose bytes depend on its graph and weights alone."""

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
) -> None:
    """Write `module` as the file `name` in `weights`, its first axis any number of rows.

    `inputs` gives the arguments of `forward` in order, each with an example of two rows or more:
    one row would be taken for a fixed size.
    """
    module.eval()
    rows = torch.export.Dim("rows")
    # It warns of torchvision's operators, which are missing here, and of torch's own old names.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: rows} for _ in inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    graph = program.model_proto
    _strip(graph)
    write_model(graph, weights / name)


def _strip(part: Any) -> None:
    """Forget where the graph came from: the exporter notes stack traces with this disk's paths."""
    for field in ("metadata_props", "doc_string"):
        if field in part.DESCRIPTOR.fields_by_name:
            part.ClearField(field)
    for descriptor, value in part.ListFields():
        if descriptor.message_type is not None:
            for each in value if descriptor.is_repeated else [value]:
                _strip(each)
