"""Figures that projects share: of probabilities, of decisions, of calibration and of intervals."""

import numpy as np
import pytest

from slipway.training import measures
from slipway.training.calibration import Reliability
from slipway.training.conformal import limit

HAPPENED = [True, True, False, False]


def test_figures_have_the_names_asked_for_in_that_order() -> None:
    told, decided = [0.9, 0.4, 0.6, 0.1], [True, False, True, False]
    names = ("roc_auc", "accuracy", "brier")
    found = measures.of_forecasts(HAPPENED, *names, told=told, decided=decided)
    assert list(found) == list(names)
    assert found["roc_auc"] == 0.75
    assert found["accuracy"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)


def test_a_figure_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError, match="hits"):
        measures.of_forecasts(HAPPENED, "hits", decided=HAPPENED)


def test_a_figure_of_what_is_not_given_is_an_error() -> None:
    with pytest.raises(ValueError, match="brier is a figure of `told`, which is not given"):
        measures.of_forecasts(HAPPENED, "brier", decided=HAPPENED)
    with pytest.raises(ValueError, match="recall is a figure of `decided`, which is not given"):
        measures.of_forecasts(HAPPENED, "recall", told=[0.5] * 4)


def test_what_was_called_impossible_and_happened_costs_much_but_not_all() -> None:
    found = measures.of_forecasts([True, False], "log_loss", told=[0.0, 0.0])
    assert found["log_loss"] == pytest.approx(-np.log(1e-7) / 2, rel=1e-6)


def test_decisions() -> None:
    names = ("accuracy", "precision", "recall", "f1")
    found = measures.of_forecasts(HAPPENED, *names, decided=[True, False, False, False])
    assert found == {"accuracy": 0.75, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}


def test_where_nothing_was_decided_precision_is_0() -> None:
    found = measures.of_forecasts(HAPPENED, "precision", "f1", decided=[False] * 4)
    assert found == {"precision": 0.0, "f1": 0.0}


def test_folds_are_averaged_and_their_spread_told_where_asked() -> None:
    found = measures.over_folds([{"f1": 0.4, "cost": 1.0}, {"f1": 0.6, "cost": 3.0}], "f1")
    assert found == {"f1": pytest.approx(0.5), "cost": 2.0, "f1_std": pytest.approx(0.1)}


def test_reliability_is_of_bins_of_equal_size() -> None:
    told = np.array([0.8, 0.1, 0.3, 0.6])
    found = Reliability.of(told, np.array([True, False, False, True]), bins=2)
    assert found.told.tolist() == pytest.approx([0.2, 0.7])
    assert found.happened.tolist() == [0.0, 1.0]
    assert found.rows.tolist() == [2, 2]
    assert found.error == pytest.approx(0.25)


def test_of_fewer_rows_than_bins_each_has_its_own() -> None:
    found = Reliability.of(np.array([0.5, 0.25]), np.array([True, False]), bins=10)
    assert found.rows.tolist() == [1, 1]
    assert found.error == pytest.approx((0.25 + 0.5) / 2)


def test_true_probabilities_are_nearly_without_error_and_false_ones_are_not() -> None:
    rng = np.random.default_rng(3)
    told = rng.random(20_000)
    happened = rng.random(20_000) < told
    assert Reliability.of(told, happened).error < 0.02
    assert Reliability.of(told**2, happened).error > 0.1
    found = Reliability.of(told, happened, bins=50)
    assert (np.abs(found.told - found.happened) < found.reach).mean() > 0.85


@pytest.mark.parametrize("rows", [19, 50, 400])
def test_a_conformal_limit_is_exceeded_as_rarely_as_promised(rows: int) -> None:
    """Over many draws: exactly the rank's share, which lies at 5 % or a little below."""
    rng = np.random.default_rng(rows)
    draws = 4000
    missed = np.mean([rng.normal() > limit(rng.normal(size=rows), 0.05) for _ in range(draws)])
    exact = 1 - np.ceil((rows + 1) * 0.95) / (rows + 1)
    assert exact < 0.05 + 1e-9
    assert abs(missed - exact) < 4 * np.sqrt(0.05 * 0.95 / draws)


def test_with_too_few_rows_the_largest_error_stands_for_the_limit() -> None:
    assert limit(np.array([0.3, -1.0, 0.2]), 0.05) == 0.3
