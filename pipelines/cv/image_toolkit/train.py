"""Compare the arithmetic of real numbers with OpenCV's fixed point; there are no weights to learn.

The simplest arithmetic whose share of identical pictures is within one standard error of the best
is served. Parity is measured against OpenCV itself.
"""

import json
from pathlib import Path

import numpy as np

from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import bootstrap_error, simplest_within_error

from .metrics import equality_metrics, largest_differences
from .model import ARITHMETIC, Edit, Edited, Expected, edited
from .operations import apply
from .reference import opencv_apply


def fit(*, train: LabelledRows[Edit, Expected], weights: Path, seed: int) -> Fitted:
    """Choose the arithmetic by the training pictures, and write its name."""
    kinds = np.array([each.kind for each in train.labels])
    tried = []
    for name, fixed in ARITHMETIC.items():
        results = [
            apply(decode_image(each.image), each.operations, fixed=fixed) for each in train.records
        ]
        largest = largest_differences(results, train.labels)

        def identical_share(rows: np.ndarray, largest: np.ndarray = largest) -> float:
            return equality_metrics(largest[rows], kinds[rows].tolist())["identical_share"]

        metrics = equality_metrics(largest, kinds.tolist())
        metrics["identical_share_se"] = bootstrap_error(identical_share, len(kinds), seed=seed)
        tried.append(Candidate(name, metrics))
    chosen = simplest_within_error(tried, "identical_share", best="highest").name
    (weights / "method.json").write_text(json.dumps({"method": chosen}) + "\n")

    def opencv_predict(edits: list[Edit]) -> list[Edited]:
        return [
            edited(each, opencv_apply(decode_image(each.image), each.operations)) for each in edits
        ]

    return Fitted(tried, chosen, opencv_predict)
