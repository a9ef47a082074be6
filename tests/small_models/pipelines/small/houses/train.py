"""Least squares, exported as one matrix product."""

from pathlib import Path

import numpy as np
from onnx import helper

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph

from .model import FEATURES, House, Price


def matrix(houses: list[House]) -> np.ndarray:
    """Return (rows, 4) float64: the features, and ones."""
    return np.array([[*(float(getattr(each, name)) for name in FEATURES), 1.0] for each in houses])


def fit(*, train: LabelledRows[House, float], weights: Path) -> Fitted:
    """Fit the coefficients (4,) and write the graph."""
    rows, prices = matrix(train.records), np.array(train.labels)
    coefficients = np.linalg.lstsq(rows, prices, rcond=None)[0]
    write_graph(
        weights / "model.onnx",
        [helper.make_node("Gemm", ["features", "slopes", "intercept"], ["price"])],
        inputs={"features": len(FEATURES)},
        outputs={"price": 1},
        constants={"slopes": coefficients[:-1, None], "intercept": coefficients[-1:]},
    )
    error = float(np.abs(rows @ coefficients - prices).mean())
    tried = [
        Candidate("baseline", {"mae": float(np.abs(prices - prices.mean()).mean())}),
        Candidate("least_squares", {"mae": error}),
    ]

    def framework_predict(houses: list[House]) -> list[Price]:
        return Price.from_columns(price=matrix(houses) @ coefficients)

    return Fitted(tried, "least_squares", framework_predict)
