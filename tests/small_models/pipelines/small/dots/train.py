"""Find the threshold between dots and plate, exported as one subtraction."""

from pathlib import Path

import numpy as np
from onnx import helper

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph

from .model import SIDE, Dots, Plate, dots, pixels


def fit(*, train: LabelledRows[Plate, Dots], weights: Path) -> Fitted:
    """Put the threshold in the middle of the brightest and the darkest pixel."""
    light = pixels(train.records)
    threshold = float(light.max() + light.min()) / 2
    write_graph(
        weights / "model.onnx",
        [helper.make_node("Sub", ["pixels", "threshold"], ["light"])],
        inputs={"pixels": SIDE * SIDE},
        outputs={"light": SIDE * SIDE},
        constants={"threshold": np.array([threshold])},
    )
    tried = [Candidate("baseline", {"recall": 0.0}), Candidate("threshold", {"recall": 1.0})]
    return Fitted(tried, "threshold", lambda rows: dots(pixels(rows) - np.float32(threshold)))
