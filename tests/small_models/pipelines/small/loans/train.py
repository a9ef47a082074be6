"""Logistic regression by Newton's method, exported as a graph that takes numbers and text."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import OPSET, write_model

from .model import CATEGORIES, NUMBERS, PURPOSES, REGIONS, Applicant, decisions, features

# Scales that bring all numbers to about 1: Newton's steps are then well conditioned.
SCALES = np.array([50.0, 20.0, 50.0])
USUAL_AGE = 45.0


def matrix(applicants: list[Applicant]) -> np.ndarray:
    """Return (rows, 10) float64: three scaled numbers, six categories, and ones."""
    columns = features(applicants)
    numbers = np.where(np.isnan(columns["numbers"]), USUAL_AGE, columns["numbers"]) / SCALES
    one_hot = [columns["categories"][:, :1] == list(REGIONS)]
    one_hot += [columns["categories"][:, 1:] == list(PURPOSES)]
    return np.hstack([numbers, *one_hot, np.ones((len(applicants), 1))]).astype(float)


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def fit(*, train: LabelledRows[Applicant, bool], weights: Path, steps: int, ridge: float) -> Fitted:
    """Fit the coefficients (10,) and write the graph."""
    rows, labels = matrix(train.records), np.array(train.labels, dtype=float)
    coefficients = np.zeros(rows.shape[1])
    for _ in range(steps):
        probabilities = sigmoid(rows @ coefficients)
        curvature = (rows.T * (probabilities * (1 - probabilities))) @ rows
        slope = rows.T @ (labels - probabilities) - ridge * coefficients
        coefficients += np.linalg.solve(curvature + ridge * np.eye(len(slope)), slope)
    export(coefficients, weights / "model.onnx")
    accuracy = float(((sigmoid(rows @ coefficients) >= 0.5) == labels).mean())
    most = float(max(labels.mean(), 1 - labels.mean()))
    tried = [
        Candidate("baseline", {"accuracy": most}),
        Candidate("logistic", {"accuracy": accuracy}, {"steps": steps, "ridge": ridge}),
    ]
    return Fitted(tried, "logistic", lambda rows: decisions(sigmoid(matrix(rows) @ coefficients)))


def export(coefficients: np.ndarray, file: Path) -> None:
    """Write the graph of `numbers` (rows, 3) and `categories` (rows, 2), text."""
    own = "ai.onnx.ml"
    values = {"usual": USUAL_AGE, "scales": SCALES}
    values |= {"slopes": coefficients[:-1, None], "intercept": coefficients[-1:]}
    nodes = [
        helper.make_node("IsNaN", ["numbers"], ["unknown"]),
        helper.make_node("Where", ["unknown", "usual", "numbers"], ["known"]),
        helper.make_node("Div", ["known", "scales"], ["scaled"]),
        helper.make_node("Split", ["categories"], ["region", "purpose"], axis=1, num_outputs=2),
    ]
    for name, known in (("region", REGIONS), ("purpose", PURPOSES)):
        encoded = [
            helper.make_node(
                "OneHotEncoder", [name], [f"{name}_cube"], domain=own, cats_strings=known, zeros=1
            ),
            helper.make_node("Flatten", [f"{name}_cube"], [f"{name}_columns"]),
        ]
        nodes += encoded
    columns = ["scaled", "region_columns", "purpose_columns"]
    nodes += [
        helper.make_node("Concat", columns, ["columns"], axis=1),
        helper.make_node("Gemm", ["columns", "slopes", "intercept"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["probabilities"]),
    ]
    text, number = TensorProto.STRING, TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("numbers", number, [None, len(NUMBERS)]),
        helper.make_tensor_value_info("categories", text, [None, len(CATEGORIES)]),
    ]
    outputs = [helper.make_tensor_value_info("probabilities", number, [None, 1])]
    tensors = [
        numpy_helper.from_array(np.asarray(value, dtype=np.float32), name)
        for name, value in values.items()
    ]
    graph = helper.make_graph(nodes, "loans", inputs, outputs, tensors)
    opsets = [helper.make_opsetid(*each) for each in sorted(OPSET.items())]
    write_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), file)
