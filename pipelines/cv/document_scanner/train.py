"""Compare methods that find corners; none has weights to learn, so training photographs choose.

The simplest method whose share of close corners is within one standard error of the best is served.
"""

import json
from pathlib import Path

import numpy as np

from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import bootstrap_error, simplest_within_error

from .corners import METHODS
from .metrics import corner_array, corner_metrics
from .model import FOUND, Photo, Scan, Sheet, scan


def fit(*, train: LabelledRows[Photo, Sheet], weights: Path, seed: int) -> Fitted:
    """Choose the method by the training photographs, and write its name."""
    images = [decode_image(each.image) for each in train.records]
    true = [corner_array(each.corners) for each in train.labels]
    tried = []
    for name, find in METHODS.items():
        sheets = [find(image) for image in images]
        found = [each.corners for each in sheets]
        # The whole picture is always an answer of the baseline.
        said = [name == "baseline" or each.confidence >= FOUND for each in sheets]
        metrics = corner_metrics(found, said, true)

        def close_share(
            rows: np.ndarray, found: list[np.ndarray] = found, said: list[bool] = said
        ) -> float:
            chosen = [[each[row] for row in rows] for each in (found, said, true)]
            return corner_metrics(*chosen)["close_share"]  # type: ignore[arg-type]

        metrics["close_share_se"] = bootstrap_error(close_share, len(true), seed=seed)
        tried.append(Candidate(name, metrics))
    chosen = simplest_within_error(tried, "close_share", best="highest").name
    (weights / "method.json").write_text(json.dumps({"method": chosen}) + "\n")

    def framework_predict(photos: list[Photo]) -> list[Scan]:
        return [scan(each, METHODS[chosen](decode_image(each.image))) for each in photos]

    return Fitted(tried, chosen, framework_predict)
