"""Platt scaling finds the distortion of probabilities and inverts it."""

import numpy as np
import pytest

from slipway.contract.calibration import calibrated, log_odds
from slipway.training.platt import platt


def test_a_distortion_of_probabilities_is_inverted() -> None:
    random = np.random.default_rng(3)
    true = random.uniform(0.01, 0.99, 50_000)
    y_true = random.random(len(true)) < true
    distorted = calibrated(true, 2.0, 0.7)
    slope, intercept = platt(log_odds(distorted), y_true)
    assert slope == pytest.approx(0.5, abs=0.02)
    assert intercept == pytest.approx(-0.35, abs=0.03)
    assert calibrated(distorted, 0.5, -0.35) == pytest.approx(true, abs=1e-6)


def test_certain_probabilities_stay_finite() -> None:
    ends = np.array([0.0, 1.0], dtype=np.float32)
    assert log_odds(ends) == pytest.approx([-13.8155, 13.8155], abs=1e-3)
    assert calibrated(ends, 1.0, 0.0) == pytest.approx(ends, abs=2e-6)


def test_scores_that_separate_the_classes_give_a_finite_line() -> None:
    slope, intercept = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1]))
    assert np.isfinite([slope, intercept]).all()
    assert slope > 0
