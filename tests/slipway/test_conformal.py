"""How far a conformal interval reaches."""

import numpy as np
import pytest

from slipway.training.conformal import limit


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
