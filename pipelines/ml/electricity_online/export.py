"""What an online learner knows, written for who serves it."""

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
    """Write `model.onnx`, and `learner.json` to go on from, each whole or as it was before."""
    weights.mkdir(parents=True, exist_ok=True)
    served = LogisticRegression()
    line, intercept = learner.line()
    served.coef_, served.intercept_ = line[None], np.array([intercept])
    served.classes_, served.n_features_in_ = np.array([0, 1]), len(NUMBERS)
    with TemporaryDirectory(dir=weights) as folder:
        # A graph has its folder's name: elsewhere, equal learners would give other bytes.
        new = Path(folder) / weights.resolve().name
        new.mkdir()
        export_onnx(served, {"numbers": len(NUMBERS)}, new)
        settle(new / "model.onnx", weights / "model.onnx")
    replace_text(weights / "learner.json", json.dumps(learner.state()) + "\n")
