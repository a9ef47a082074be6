"""Confidence intervals of a rate and of the difference of two rates.

Models in the model server use these, whose environment has no statsmodels;
tests/slipway/statistics/test_two_sample.py compares them with statsmodels.
"""

import math
from statistics import NormalDist

Arm = tuple[float, float]
"""Successes and size of an arm."""


def wilson(arm: Arm, *, coverage: float) -> tuple[float, float]:
    """Return the score interval of one rate, within 0 and 1.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    successes, size = arm
    z = NormalDist().inv_cdf((1 + coverage) / 2)
    rate, weight = successes / size, z * z / size
    centre = (rate + weight / 2) / (1 + weight)
    reach = z * math.sqrt(rate * (1 - rate) / size + weight / (4 * size)) / (1 + weight)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def newcombe(a: Arm, b: Arm, *, coverage: float) -> tuple[float, float]:
    """Return the interval of b's rate minus a's, made from the two score intervals.

    It has its coverage from about ten per arm on, also for rates near 0 and 1. Newcombe (1998),
    "Interval estimation for the difference between independent proportions", method 10.

    Raises:
        ValueError: an arm is empty.
    """
    if min(a[1], b[1]) <= 0:
        raise ValueError(f"both arms must have a size above 0, got {a[1]:g} and {b[1]:g}")
    rates = a[0] / a[1], b[0] / b[1]
    low_a, high_a = wilson(a, coverage=coverage)
    low_b, high_b = wilson(b, coverage=coverage)
    difference = rates[1] - rates[0]
    below = math.hypot(rates[1] - low_b, high_a - rates[0])
    above = math.hypot(high_b - rates[1], rates[0] - low_a)
    # Rounding errors must not lead outside of -1 to 1.
    return max(-1.0, difference - below), min(1.0, difference + above)
