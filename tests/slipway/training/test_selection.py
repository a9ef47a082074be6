"""The one-standard-error rule, and its standard errors."""

import numpy as np
import pytest

from slipway.training import Candidate
from slipway.training.selection import (
    bootstrap_error,
    bootstrap_interval,
    fold_error,
    simplest_within_error,
)


def tried(**values: tuple[float, float]) -> list[Candidate]:
    return [
        Candidate(name, {"score": value, "score_se": error})
        for name, (value, error) in values.items()
    ]


def test_the_simplest_within_one_error_of_the_best_is_chosen() -> None:
    found = tried(plain=(0.70, 0.01), medium=(0.795, 0.5), large=(0.80, 0.01))
    assert simplest_within_error(found, "score", best="highest").name == "medium"


def test_only_the_error_of_the_best_counts() -> None:
    found = tried(plain=(0.70, 0.2), large=(0.80, 0.01))
    assert simplest_within_error(found, "score", best="highest").name == "large"


def test_the_lowest_loss_is_the_best() -> None:
    found = tried(plain=(1.04, 0.0), medium=(1.2, 0.0), large=(1.0, 0.05))
    assert simplest_within_error(found, "score", best="lowest").name == "plain"


def test_a_change_in_the_last_digit_does_not_change_the_choice() -> None:
    """If the best two are equally good, the simplest is chosen whichever of them leads."""
    for noise in (-1e-7, 0.0, 1e-7):
        found = tried(plain=(0.79, 0.01), one=(0.80, 0.02), other=(0.80 + noise, 0.02))
        assert simplest_within_error(found, "score", best="highest").name == "plain"


def test_without_a_standard_error_nothing_is_chosen() -> None:
    with pytest.raises(ValueError, match="candidate 'one' has no score_se"):
        simplest_within_error([Candidate("one", {"score": 1.0})], "score", best="highest")
    with pytest.raises(ValueError, match="no candidate to choose from"):
        simplest_within_error([], "score", best="highest")


def test_the_error_of_folds_is_that_of_their_mean() -> None:
    rng = np.random.default_rng(0)
    folds = rng.normal(0.8, 0.05, (4000, 5))
    found = [fold_error(each) for each in folds]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(folds.mean(axis=1).std(), rel=0.05)


def test_repeats_do_not_reduce_the_error() -> None:
    scores = [0.7, 0.8, 0.9, 0.8, 0.8]
    assert fold_error(scores * 4, folds=5) == pytest.approx(np.std(scores * 4, ddof=1) / np.sqrt(5))


def test_the_bootstrap_gives_the_error_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap_error(lambda rows: float(values[rows].mean()), len(values), seed=2)
    assert found == pytest.approx(values.std() / 20, rel=0.15)
    assert found == bootstrap_error(lambda rows: float(values[rows].mean()), len(values), seed=2)


def test_the_bootstrap_interval_is_two_errors_wide_on_either_side() -> None:
    values = np.random.default_rng(1).normal(size=400)

    def mean(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    low, high = bootstrap_interval(mean, len(values), seed=2, resamples=1000)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
