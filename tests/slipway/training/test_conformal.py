"""The quantile of split conformal prediction."""

import numpy as np
import pytest

from slipway.training.conformal import conformal_quantile


@pytest.mark.parametrize("rows", [19, 50, 400])
def test_the_quantile_is_exceeded_with_the_promised_probability(rows: int) -> None:
    """Over many draws the share is that of the rank: 5 % or slightly less."""
    rng = np.random.default_rng(rows)
    draws = 4000
    missed = np.mean(
        [rng.normal() > conformal_quantile(rng.normal(size=rows), 0.05) for _ in range(draws)]
    )
    exact = 1 - np.ceil((rows + 1) * 0.95) / (rows + 1)
    assert exact < 0.05 + 1e-9
    assert abs(missed - exact) < 4 * np.sqrt(0.05 * 0.95 / draws)


def test_with_too_few_rows_the_quantile_is_the_largest_error() -> None:
    assert conformal_quantile(np.array([0.3, -1.0, 0.2]), 0.05) == 0.3
