"""Welch's t-test of two means with unequal variances."""

import math
from dataclasses import dataclass
from functools import cached_property

from slipway.statistics.distributions import StudentT


@dataclass(frozen=True)
class Welch:
    """A difference of two means with its standard error and Satterthwaite's degrees of freedom.

    Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved"; Satterthwaite (1946) for the degrees of freedom.
    """

    difference: float
    error: float
    freedom: float

    @classmethod
    def from_moments(
        cls, difference: float, *, variances: tuple[float, float], sizes: tuple[int, int]
    ) -> "Welch":
        """Return the test of a difference; `variances` divide by n - 1.

        Raises:
            ValueError: an arm has fewer than two values, or both variances are 0.
        """
        if min(sizes) < 2:
            raise ValueError(f"sizes must be 2 or more, got {sizes[0]} and {sizes[1]}")
        parts = variances[0] / sizes[0], variances[1] / sizes[1]
        squared_error = sum(parts)
        if not squared_error > 0:
            raise ValueError("variances must not both be 0")
        share = parts[0] / squared_error
        freedom = 1 / (share**2 / (sizes[0] - 1) + (1 - share) ** 2 / (sizes[1] - 1))
        return cls(difference, math.sqrt(squared_error), freedom)

    @property
    def statistic(self) -> float:
        return self.difference / self.error

    @cached_property
    def student(self) -> StudentT:
        return StudentT(self.freedom)

    @property
    def p_value(self) -> float:
        """The two-sided p-value."""
        return self.student.two_sided_tail(self.statistic)

    def interval(self, coverage: float) -> tuple[float, float]:
        """Return the confidence interval of the difference."""
        # Near the median a quantile has a rounding error of 1e-13 and may be negative.
        reach = self.error * max(0.0, self.student.quantile((1 + coverage) / 2))
        return self.difference - reach, self.difference + reach
