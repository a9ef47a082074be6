"""Export scikit-learn pipelines over number and text columns to ONNX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from slipway.training.graph import OPSET, write_model


def export_onnx(
    pipeline: Any, inputs: Mapping[str, int], weights: Path, options: Any | None = None
) -> None:
    """Write `pipeline` as `weights/model.onnx`.

    `inputs` gives the width of each feature block by name. The blocks `categories` and `texts` are
    text, others are float32. A classifier outputs `label` and `probabilities` (rows, classes).
    """
    kinds = {"categories": StringTensorType, "texts": StringTensorType}
    types = [
        (name, kinds.get(name, FloatTensorType)([None, width])) for name, width in inputs.items()
    ]
    is_classifier = hasattr(pipeline, "predict_proba")
    if is_classifier:
        options = {id(pipeline): {"zipmap": False}, **(options or {})}
    graph = to_onnx(
        pipeline, initial_types=types, options=options, target_opset=OPSET, name=weights.name
    )
    graph.doc_string = ""
    # skl2onnx lists operator sets in the order of a Python set, which differs from run to run.
    graph.opset_import.sort(key=lambda each: each.domain)
    write_model(graph, weights / "model.onnx")
