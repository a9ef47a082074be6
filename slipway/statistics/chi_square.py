"""Pearson's chi-square tests: of independence in a table of counts, and of counts against shares.

Pearson (1900), without Yates's correction for continuity, which makes the test too conservative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ChiSquare:
    """The statistic of a chi-square test and its degrees of freedom."""

    statistic: float
    freedom: int

    @property
    def p_value(self) -> float:
        return survival(self.statistic, self.freedom)


def independence(table: np.ndarray | Sequence[Sequence[float]]) -> ChiSquare:
    """Test whether rows and columns of counts (rows, columns) are independent.

    Raises:
        ValueError: the table is smaller than 2 by 2, or has an empty row or column.
    """
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or min(counts.shape) < 2:
        raise ValueError(f"table must have two rows and columns or more, got {counts.shape}")
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    if not (np.all(counts >= 0) and np.all(rows > 0) and np.all(columns > 0)):
        raise ValueError("table must hold counts of 0 or more, and no empty row or column")
    expected = np.outer(rows, columns) / counts.sum()
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return ChiSquare(float(((counts - expected) ** 2 / expected).sum()), freedom)


def fit(counts: Sequence[float], shares: Sequence[float]) -> ChiSquare:
    """Test whether counts (kinds,) fit the expected shares (kinds,).

    Raises:
        ValueError: there are fewer than two kinds, another number of shares, or a share is 0.
    """
    observed = np.asarray(counts, dtype=np.float64)
    planned = np.asarray(shares, dtype=np.float64)
    if observed.shape != planned.shape or observed.ndim != 1 or len(observed) < 2:
        raise ValueError(
            f"counts and shares must be two or more, got {len(observed)}, {len(planned)}"
        )
    if not (np.all(observed >= 0) and observed.sum() > 0 and np.all(planned > 0)):
        raise ValueError("counts must be 0 or more and not all 0, shares above 0")
    expected = observed.sum() * planned / planned.sum()
    return ChiSquare(float(((observed - expected) ** 2 / expected).sum()), len(observed) - 1)


def survival(statistic: float, freedom: int) -> float:
    """Return the probability that chi-square with integer degrees of freedom exceeds `statistic`.

    It is a finite sum of positive terms: Abramowitz and Stegun (1964), 26.4.4 and 26.4.5.
    """
    half = statistic / 2
    if half <= 0:
        return 1.0
    odd = freedom % 2
    start = math.erfc(math.sqrt(half)) if odd else 0.0
    # Terms half^k e^-half / gamma(k + 1), k from 0 or 1/2 up to freedom / 2 - 1.
    powers = (place + odd / 2 for place in range(freedom // 2))
    log_half = math.log(half)
    terms = (math.exp(power * log_half - half - math.lgamma(power + 1)) for power in powers)
    return min(1.0, start + math.fsum(terms))
