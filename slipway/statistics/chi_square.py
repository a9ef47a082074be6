"""Pearson's chi-square tests: of independence in a table of counts, and of counts against shares.

Pearson (1900), without Yates's correction for continuity, which makes the test too shy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ChiSquare:
    statistic: float
    freedom: int

    @property
    def p_value(self) -> float:
        return beyond(self.statistic, self.freedom)


def independence(table: np.ndarray | Sequence[Sequence[float]]) -> ChiSquare:
    """Of rows and columns in counts (rows, columns).

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
    """Of counts (kinds,) to the shares (kinds,) that they should have.

    Raises:
        ValueError: there are fewer than two kinds, not as many shares, or one is 0.
    """
    seen, wanted = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if seen.shape != wanted.shape or seen.ndim != 1 or len(seen) < 2:
        raise ValueError(f"counts and shares must be two or more, got {len(seen)}, {len(wanted)}")
    if not (np.all(seen >= 0) and seen.sum() > 0 and np.all(wanted > 0)):
        raise ValueError("counts must be 0 or more and not all 0, shares above 0")
    expected = seen.sum() * wanted / wanted.sum()
    return ChiSquare(float(((seen - expected) ** 2 / expected).sum()), len(seen) - 1)


def beyond(statistic: float, freedom: int) -> float:
    """The probability that chi-square with whole degrees of freedom exceeds `statistic`.

    By its finite sum, all of whose terms are positive: Abramowitz and Stegun (1964), 26.4.4
    and 26.4.5.
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
