"""Shared metrics: for probabilities, predicted labels, folds and calibration."""

import numpy as np
import pytest

from slipway.reporting.metrics import binary_metrics
from slipway.training import validation
from slipway.training.calibration import Reliability, expected_calibration_error
from slipway.training.validation import mean_over_folds

Y_TRUE = [True, True, False, False]


def test_metrics_have_the_given_names_in_order() -> None:
    y_prob, y_pred = [0.9, 0.4, 0.6, 0.1], [True, False, True, False]
    names = ("roc_auc", "accuracy", "brier")
    found = binary_metrics(Y_TRUE, *names, y_prob=y_prob, y_pred=y_pred)
    assert list(found) == list(names)
    assert found["roc_auc"] == 0.75
    assert found["accuracy"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(KeyError, match="hits"):
        binary_metrics(Y_TRUE, "hits", y_pred=Y_TRUE)


def test_validation_has_no_reporting_metrics() -> None:
    with pytest.raises(KeyError, match="calibration_error"):
        validation.binary_metrics(Y_TRUE, "calibration_error", y_prob=[0.5] * 4)
    one = validation.binary_metrics(Y_TRUE, "brier", "f1", y_prob=[0.5] * 4, y_pred=Y_TRUE)
    assert one == binary_metrics(Y_TRUE, "brier", "f1", y_prob=[0.5] * 4, y_pred=Y_TRUE)


def test_a_metric_without_its_input_is_an_error() -> None:
    with pytest.raises(ValueError, match="brier needs `y_prob`, which is not given"):
        binary_metrics(Y_TRUE, "brier", y_pred=Y_TRUE)
    with pytest.raises(ValueError, match="recall needs `y_pred`, which is not given"):
        binary_metrics(Y_TRUE, "recall", y_prob=[0.5] * 4)


def test_log_loss_is_finite_for_a_positive_with_probability_0() -> None:
    found = binary_metrics([True, False], "log_loss", y_prob=[0.0, 0.0])
    assert found["log_loss"] == pytest.approx(-np.log(1e-7) / 2, rel=1e-6)


def test_predicted_labels() -> None:
    names = ("accuracy", "precision", "recall", "f1")
    found = binary_metrics(Y_TRUE, *names, y_pred=[True, False, False, False])
    assert found == {"accuracy": 0.75, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}


def test_precision_without_predicted_positives_is_0() -> None:
    found = binary_metrics(Y_TRUE, "precision", "f1", y_pred=[False] * 4)
    assert found == {"precision": 0.0, "f1": 0.0}


def test_folds_are_averaged_with_standard_deviations() -> None:
    found = mean_over_folds([{"f1": 0.4, "cost": 1.0}, {"f1": 0.6, "cost": 3.0}], "f1")
    assert found == {"f1": pytest.approx(0.5), "cost": 2.0, "f1_std": pytest.approx(0.1)}


def test_reliability_has_bins_of_equal_size() -> None:
    y_prob = np.array([0.8, 0.1, 0.3, 0.6])
    found = Reliability.from_predictions(y_prob, np.array([True, False, False, True]), bins=2)
    assert found.y_prob.tolist() == pytest.approx([0.2, 0.7])
    assert found.observed.tolist() == [0.0, 1.0]
    assert found.rows.tolist() == [2, 2]
    assert expected_calibration_error(found) == pytest.approx(0.25)


def test_with_fewer_rows_than_bins_each_row_has_a_bin() -> None:
    found = Reliability.from_predictions(np.array([0.5, 0.25]), np.array([True, False]), bins=10)
    assert found.rows.tolist() == [1, 1]
    assert expected_calibration_error(found) == pytest.approx((0.25 + 0.5) / 2)


def test_calibrated_probabilities_have_a_small_error() -> None:
    rng = np.random.default_rng(3)
    y_prob = rng.random(20_000)
    y_true = rng.random(20_000) < y_prob
    names = ("calibration_error",)
    assert binary_metrics(y_true, *names, y_prob=y_prob)["calibration_error"] < 0.02
    assert binary_metrics(y_true, *names, y_prob=y_prob**2)["calibration_error"] > 0.1
    found = Reliability.from_predictions(y_prob, y_true, bins=50)
    assert (np.abs(found.y_prob - found.observed) < found.margin).mean() > 0.85
