"""Graphs built by hand, run by ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from slipway.training.graph import write_graph


def written(file: Path) -> Path:
    nodes = [
        helper.make_node("MatMul", ["numbers", "weights"], ["products"]),
        helper.make_node("Gather", ["products", "first"], ["score"], axis=1),
    ]
    constants = {
        "weights": np.array([[1.0, 5.0], [2.0, 5.0]]),
        "first": np.array([0], dtype=np.int32),
    }
    write_graph(file, nodes, inputs={"numbers": 2}, outputs={"score": 1}, constants=constants)
    return file


def test_it_takes_any_number_of_rows(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(written(tmp_path / "model.onnx"))
    for rows in (1, 3):
        numbers = np.ones((rows, 2), dtype=np.float32)
        (score,) = session.run(None, {"numbers": numbers})
        assert score.tolist() == [[3.0]] * rows


def test_equal_graphs_have_equal_bytes(tmp_path: Path) -> None:
    first, second = (written(tmp_path / "model.onnx").read_bytes() for _ in range(2))
    assert first == second


def test_invalid_nodes_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    nodes = [helper.make_node("Add", ["numbers", "nothing"], ["score"])]
    with pytest.raises(onnx.checker.ValidationError, match="nothing"):
        write_graph(file, nodes, inputs={"numbers": 2}, outputs={"score": 2})
    assert not file.exists()
