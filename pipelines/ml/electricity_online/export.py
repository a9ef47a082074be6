"""Export of an online learner for serving."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.linear_model import LogisticRegression

from slipway.files import replace_text, settle
from slipway.training.tabular import export_onnx

from .learner import Learner
from .model import NUMBERS


def export(learner: Learner, weights: Path) -> None:
    """Write `model.onnx` to serve, and `learner.json` to continue from, each atomically."""
    weights.mkdir(parents=True, exist_ok=True)
    served = LogisticRegression()
    line, intercept = learner.line()
    served.coef_, served.intercept_ = line[None], np.array([intercept])
    served.classes_, served.n_features_in_ = np.array([0, 1]), len(NUMBERS)
    with TemporaryDirectory(dir=weights) as folder:
        # A graph contains its folder's name, which must be the same for equal learners.
        new = Path(folder) / weights.resolve().name
        new.mkdir()
        export_onnx(served, {"numbers": len(NUMBERS)}, new)
        settle(new / "model.onnx", weights / "model.onnx")
    replace_text(weights / "learner.json", json.dumps(learner.state()) + "\n")
