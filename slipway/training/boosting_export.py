"""Support for LightGBM and XGBoost in `slipway.training.tabular.export_onnx`."""

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
    """Register onnxmltools' converters for LightGBM and XGBoost with skl2onnx."""
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
