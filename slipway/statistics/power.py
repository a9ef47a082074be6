"""Power of two-sided tests: the probability of detecting a difference with given sizes of the arms.

This is the inverse of `sample_size`, for arms of any sizes. As there, the small probability of a
significant difference in the wrong direction does not count.
"""

import math
from statistics import NormalDist


def two_proportions(
    rate: float, effect: float, *, sizes: tuple[int, int], alpha: float
) -> float | None:
    """Return the power of telling `rate` from `rate + effect`, or from `rate - effect` above 1.

    None where neither is a rate. Fleiss, Levin and Paik (2003), "Statistical methods for rates
    and proportions", chapter 4, without the correction for continuity.
    """
    other = rate + effect if rate + effect <= 1 else rate - effect
    if other < 0:
        return None
    first, second = sizes
    middle = (first * rate + second * other) / (first + second)
    pooled = math.sqrt(middle * (1 - middle) * (1 / first + 1 / second))
    apart = math.sqrt(rate * (1 - rate) / first + other * (1 - other) / second)
    return _power(effect - _bound(alpha) * pooled, apart)


def two_means(
    variances: tuple[float, float], effect: float, *, sizes: tuple[int, int], alpha: float
) -> float:
    """Return the power of telling two means that are `effect` apart.

    Chow, Shao and Wang (2008), "Sample size calculations in clinical research", section 3.2.
    """
    error = math.sqrt(variances[0] / sizes[0] + variances[1] / sizes[1])
    return _power(effect - _bound(alpha) * error, error)


def _bound(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha / 2)


def _power(excess: float, error: float) -> float:
    if error == 0:
        return 1.0 if excess > 0 else 0.0
    return NormalDist().cdf(excess / error)
