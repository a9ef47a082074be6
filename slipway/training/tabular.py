"""scikit-learn estimators over number and text columns: calibrated, exported to ONNX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.training.graph import OPSET, write_model


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows by column name, None where a value is missing."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def together(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The blocks of `model.features` side by side, for scikit-learn: (rows, columns) object."""
    return np.concatenate([block.astype(object) for block in columns.values()], axis=1)


def platt(scores: np.ndarray, happened: np.ndarray) -> tuple[float, float]:
    """Slope and intercept from scores (rows,) to the log odds of what happened (rows,).

    Platt's scaling (1999); of probabilities, their log odds are the scores.
    """
    from sklearn.linear_model import LogisticRegression

    # Nearly no shrinkage, and an end where scores part the two wholly.
    line = LogisticRegression(C=1e6, max_iter=1000).fit(scores[:, None], happened)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def export_boosting() -> None:
    """Teach `export_onnx` LightGBM's and XGBoost's estimators, with onnxmltools' converters."""
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import (  # type: ignore[import-untyped]
        convert_lightgbm,
    )
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import (  # type: ignore[import-untyped]
        convert_xgboost,
    )
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from xgboost import XGBClassifier, XGBRegressor

    classes = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    for model, converter, options in (
        (LGBMClassifier, convert_lightgbm, classes),
        (LGBMRegressor, convert_lightgbm, {"split": None}),
        (XGBClassifier, convert_xgboost, classes),
        (XGBRegressor, convert_xgboost, None),
    ):
        shapes = (
            calculate_linear_classifier_output_shapes
            if options is classes
            else calculate_linear_regressor_output_shapes
        )
        update_registered_converter(model, model.__name__, shapes, converter, options=options)


def export_onnx(
    pipeline: Any, inputs: Mapping[str, int], weights: Path, options: Any | None = None
) -> None:
    """Write `pipeline` as `weights/model.onnx`.

    `inputs` gives each block's width by its name: the block `categories` is text, others are
    float32. A classifier answers `label` and `probabilities` (rows, classes).
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    kinds = {"categories": StringTensorType, "texts": StringTensorType}
    types = [
        (name, kinds.get(name, FloatTensorType)([None, width])) for name, width in inputs.items()
    ]
    is_classifier = hasattr(pipeline, "predict_proba")
    if is_classifier:
        options = {id(pipeline): {"zipmap": False}, **(options or {})}
    graph = to_onnx(
        pipeline, initial_types=types, options=options, target_opset=OPSET, name=weights.name
    )
    graph.doc_string = ""
    # skl2onnx lists the operator sets in the order of a Python set, which changes with each run.
    graph.opset_import.sort(key=lambda each: each.domain)
    write_model(graph, weights / "model.onnx")
