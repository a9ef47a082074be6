"""Intervals over groups of rows that depend on each other."""

import numpy as np
import pytest

from slipway.reporting.uncertainty import metric_with_interval, neighbouring, over_groups


def test_groups_of_equal_rows_count_as_one_row_each() -> None:
    """Twenty rows that repeat a value say no more than one, so the interval stays as wide."""
    values = np.random.default_rng(0).normal(5, 1, 100)
    repeated = np.repeat(values, 20)
    single = metric_with_interval("mean", lambda rows: float(values[rows].mean()), 100)
    groups = neighbouring(2000, 20)
    by_group = over_groups(lambda rows: float(repeated[rows].mean()), groups)
    grouped = metric_with_interval("mean", by_group, len(groups))
    assert grouped == pytest.approx(single)
    by_row = metric_with_interval("mean", lambda rows: float(repeated[rows].mean()), 2000)
    assert by_row["mean_high"] - by_row["mean_low"] < 0.5 * (
        grouped["mean_high"] - grouped["mean_low"]
    )


@pytest.mark.parametrize(("rows", "size", "count"), [(10, 3, 3), (2, 100, 1), (300, 100, 3)])
def test_neighbouring_rows_are_in_one_group(rows: int, size: int, count: int) -> None:
    groups = neighbouring(rows, size)
    assert len(groups) == count
    assert np.concatenate(groups).tolist() == list(range(rows))
