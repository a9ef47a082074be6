"""Two-sample tests of the monitor's windows, and Holm's adjustment."""

import itertools

import numpy as np
import pytest

from slipway.quality import significance


def test_holm_agrees_with_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 60):
        values = rng.random(size) ** 4
        expected = multipletests(values, method="holm")[1]
        assert significance.holm_adjusted(values.tolist()) == expected.tolist()


def test_range_test_is_exact() -> None:
    """Compare with all ways in which 3 of 8 ordered values can be the window's."""
    orders = list(itertools.combinations(range(8), 3))
    for k in (1, 2, 3):
        beyond = sum(all(7 - i in places for i in range(k)) for places in orders)
        window = np.array([*range(100, 100 + k), *range(1, 4 - k)], dtype=float)
        reference = np.array([0.0, 5, 6, 7, 8])
        expected = min(1.0, 2 * beyond / len(orders))
        assert significance.range_p_value(reference, window) == pytest.approx(expected)


def test_a_small_reference_is_treated_as_a_sample() -> None:
    """About one in twenty of 400 pairs from one distribution has a p-value below 0.05.

    Evidently's chi-square, which treats the shares of 179 reference rows as the true
    distribution, rejects most of them.
    """
    import pandas as pd
    from evidently.legacy.calculations.stattests import chi_stat_test
    from evidently.legacy.core import ColumnType

    rng = np.random.default_rng(3)
    ours = theirs = 0
    for _ in range(400):
        reference = rng.choice(list("abcde"), 179, p=[0.4, 0.3, 0.15, 0.1, 0.05])
        window = rng.choice(list("abcde"), 2000, p=[0.4, 0.3, 0.15, 0.1, 0.05])
        ours += significance.categorical_p_value(reference, window) < 0.05
        result = chi_stat_test(
            pd.Series(reference), pd.Series(window), ColumnType.Categorical, 0.05
        )
        theirs += result.drift_score < 0.05
    # Binomial(400, 0.05) lies within 7 and 36 except in one run of 10,000.
    assert 7 <= ours <= 36
    assert theirs > 200


def test_rare_categories_raise_no_alarm() -> None:
    """Twenty rare kinds share 2 % of the rows.

    A single one among 150 rows, where 0.15 are expected, makes chi-square significant; pooled
    they do not.
    """
    rng = np.random.default_rng(4)
    shares = [0.98, *[0.001] * 20]
    low = 0
    for _ in range(600):
        reference, window = (rng.choice(21, size, p=shares).astype(str) for size in (150, 2000))
        low += significance.categorical_p_value(reference, window) < 0.001
    assert low <= 3


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50])
def test_nothing_to_compare_is_no_evidence(values: list[float]) -> None:
    few = np.array(values)
    assert significance.numeric_p_value(few, few) == 1
    assert significance.categorical_p_value(few.astype(str), few.astype(str)) == 1
    assert significance.range_p_value(few, few) == 1
