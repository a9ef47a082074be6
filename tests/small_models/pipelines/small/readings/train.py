"""Principal components of the usual readings, exported as an encoder and a decoder."""

from pathlib import Path

import numpy as np
from onnx import helper

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph

from .model import PLACES, Finding, Reading, findings, readings

CODES = 2


def fit(*, train: LabelledRows[Reading, bool], weights: Path) -> Fitted:
    """Fit the components (4, 2) and write both graphs."""
    rows, unusual = readings(train.records).astype(float), np.array(train.labels)
    mean = rows[~unusual].mean(axis=0)
    components = np.linalg.svd(rows[~unusual] - mean, full_matrices=False)[2][:CODES].T
    write_graph(
        weights / "encoder.onnx",
        [
            helper.make_node("Sub", ["readings", "mean"], ["centered"]),
            helper.make_node("MatMul", ["centered", "components"], ["codes"]),
        ],
        inputs={"readings": len(PLACES)},
        outputs={"codes": CODES},
        constants={"mean": mean, "components": components},
    )
    write_graph(
        weights / "decoder.onnx",
        [helper.make_node("Gemm", ["codes", "components", "mean"], ["readings"])],
        inputs={"codes": CODES},
        outputs={"readings": len(PLACES)},
        constants={"mean": mean, "components": components.T},
    )

    def framework_predict(records: list[Reading]) -> list[Finding]:
        x = readings(records)
        return findings(x, (x - mean) @ components @ components.T + mean)

    found = np.array([each.unusual for each in framework_predict(train.records)])
    tried = [
        Candidate("baseline", {"accuracy": float((~unusual).mean())}),
        Candidate("components", {"accuracy": float((found == unusual).mean())}),
    ]
    return Fitted(tried, "components", framework_predict)
