"""Ridge regression onto the labels, exported as a graph of pictures."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import OPSET, write_model

from .model import LABELS, SIDE, Picture, features, shapes

# The largest score exceeds the others by about 1: times 6, a clear picture gets 0.99.
SHARPNESS = 6.0


def matrix(pictures: list[Picture]) -> np.ndarray:
    """Return (rows, 65) float64: the pixels, and ones."""
    flat = features(pictures)["images"].reshape(len(pictures), -1).astype(float)
    return np.hstack([flat, np.ones((len(pictures), 1))])


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit(*, train: LabelledRows[Picture, str], weights: Path, ridge: float) -> Fitted:
    """Fit the coefficients (65, 3) and write the graph."""
    rows = matrix(train.records)
    labels = np.array(train.labels)[:, None] == list(LABELS)
    squares = rows.T @ rows + ridge * np.eye(rows.shape[1])
    coefficients = SHARPNESS * np.linalg.solve(squares, rows.T @ labels)
    export(coefficients, weights / "model.onnx")
    right = (rows @ coefficients).argmax(axis=1) == labels.argmax(axis=1)
    tried = [
        Candidate("baseline", {"accuracy": float(labels.mean(axis=0).max())}),
        Candidate("linear", {"accuracy": float(right.mean())}, {"ridge": ridge}),
    ]
    return Fitted(
        tried, "linear", lambda pictures: shapes(softmax(matrix(pictures) @ coefficients))
    )


def export(coefficients: np.ndarray, file: Path) -> None:
    """Write the graph of `images` (rows, 1, 8, 8)."""
    values = {"slopes": coefficients[:-1], "intercept": coefficients[-1]}
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("Gemm", ["flat", "slopes", "intercept"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    images, probabilities = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *shape])
        for name, shape in (("images", (1, SIDE, SIDE)), ("probabilities", (len(LABELS),)))
    )
    tensors = [
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()
    ]
    graph = helper.make_graph(nodes, "shapes", [images], [probabilities], tensors)
    opsets = [helper.make_opsetid(*each) for each in sorted(OPSET.items())]
    write_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), file)
