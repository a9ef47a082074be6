"""Metrics on the test rows, with the names that they have in metrics.json."""

from typing import Any

import numpy as np

from slipway.training import validation
from slipway.training.calibration import Reliability, expected_calibration_error


def binary_metrics(
    y_true: Any, *names: str, y_prob: Any = None, y_pred: Any = None
) -> dict[str, float]:
    """Return the metrics `names`, in that order, of predictions for yes-or-no labels (rows,).

    The metrics are those of `slipway.training.validation.binary_metrics`, and `calibration_error`,
    which needs `y_prob`.

    Raises:
        KeyError: a metric is unknown.
        ValueError: a metric needs `y_prob` or `y_pred`, which is not given.
    """
    return validation.compute(KNOWN, y_true, names, y_prob=y_prob, y_pred=y_pred)


def _calibration_error(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    return expected_calibration_error(Reliability.from_predictions(y_prob, y_true))


KNOWN: dict[str, validation.Metric] = {
    **validation.KNOWN,
    "calibration_error": ("y_prob", _calibration_error),
}
