"""LightGBM's and XGBoost's estimators for `slipway.training.tabular.export_onnx`."""

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


def export_boosting() -> None:
    """Teach `export_onnx` LightGBM's and XGBoost's estimators, with onnxmltools' converters."""
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
